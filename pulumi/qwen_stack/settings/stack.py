"""Shape of a stack's configuration, as frozen models. The rules between keys are in rules/.

YAML keys are camelCase, attributes are snake_case. Units stand in the names; Kubernetes quantities keep their
own notation ("2Gi", "200m"). The text below a field is its row in the tables of pulumi/README.md (reference.py).
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    WithJsonSchema,
)
from qwen_runtime.engine.registry import SERVES_BY_DEFAULT, servers

from qwen_stack.plans import Plan
from qwen_stack.settings.evaluation import Evaluation
from qwen_stack.settings.logs import Logs
from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.settings.promotion import Evidence, Override, Promotion
from qwen_stack.settings.registry import Images, Registry, RegistryLogin, SignedImages
from qwen_stack.settings.repair import Repair
from qwen_stack.settings.section import (
    CpuQuantity,
    DnsLabel,
    DnsName,
    EnvName,
    KeyName,
    LabelKey,
    LabelValue,
    MemoryQuantity,
    ModelName,
    NodePort,
    Origin,
    ResourceName,
    Section,
    ServerName,
    VariantName,
)
from qwen_stack.settings.tracing import Tracing


def _filled(source: str) -> Any:
    """Field that is filled in elsewhere. `source` is the table's default, with `{}` for the field's own default."""
    return Field(json_schema_extra={"filled": source})


FROM_PLAN = _filled("the plan's, or {}")


def _known_engine(name: str) -> str:
    if name not in servers():
        raise ValueError(f"one of {', '.join(servers())}")
    return name


Engine = Annotated[str, AfterValidator(_known_engine), Field(json_schema_extra={"enum": list(servers())})]


class Autoscaling(Section):
    min: int = Field(default=1, ge=1)
    """Fewest replicas. It is never 0: a start takes too long for the first request."""
    max: Annotated[int, _filled("replicas")] = Field(ge=1)
    """Most replicas."""
    target: Annotated[int, _filled("the plan's --concurrency for each of its replicas")] = Field(ge=1)
    """Requests in flight that one replica is meant for."""


class Model(Section):
    """One way to serve one model, by `replicas` equal pods, or groups of `nodes_per_replica` pods, of
    `gpus_per_replica` GPUs. entries.py fills in what the stack leaves out of an entry."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: ModelName
    """The weights: their directory on the hosts and the model of their manifest."""
    served_name: Annotated[ModelName, _filled("name, or `<name>-<variant>`")]
    """Name in the API; it can stay when the weights change."""
    aliases: tuple[ModelName, ...] = ()
    """Further names in the API for the same. Entries of one servedName have the same ones."""
    server: Annotated[
        ServerName, _filled("model-server, or model-server-`<variant or servedName>` after the first entry")
    ]
    """Name of its objects in the cluster; to move entries in the list, write down the names that they have."""
    variant: VariantName | None = None
    """A word that tells an entry from others with the same weights or the same servedName."""
    weight: int | None = Field(default=None, ge=0, le=100)
    """Percent of the requests for its servedName, where several entries have one."""
    plan: Annotated[InstanceOf[Plan], WithJsonSchema({"type": "string"})] | None = None
    """File written by `qwen-runtime plan --json`, from the folder pulumi/ or by its absolute path: see below."""
    engine: Annotated[Engine, FROM_PLAN] = SERVES_BY_DEFAULT
    """Engine that computes the answers."""
    hosts: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels of the hosts that serve it, in addition to the label of every GPU host."""
    path: str = Field(default="/var/lib/qwen/models", pattern=r"^/[^\s:]*[^\s:/]$")
    """Folder on the hosts that holds the directory `<name>` of the weights."""
    compile_cache: str | None = Field(default=None, pattern=r"^/[^\s:]*[^\s:/]$")
    """Folder on the hosts that keeps what the engine compiles for its next start, as `weights_compile_cache_dir` in the
    inventory. Without it every pod compiles anew."""
    verify: Literal["fast", "full"] = "fast"
    """Check of the weights by the init container before the server starts; full includes SHA-256."""
    max_model_len: Annotated[int, FROM_PLAN] = Field(gt=0)
    """Context in tokens: prompt and answer together."""
    dtype: Annotated[Literal["bfloat16", "float16", "float32"] | None, _filled("the plan's, or bfloat16")] = None
    """Type in which the engine computes."""
    replicas: Annotated[int, FROM_PLAN] = Field(ge=1)
    """Number of replicas."""
    autoscaling: Autoscaling | None = None
    """Bounds between which the number of replicas follows the requests, by KEDA; without it the number is fixed."""
    spare_replicas: int = Field(default=0, ge=0)
    """Replicas of the plan that are not started: their GPUs stay free for a rollout or a broken host."""
    rollout: Annotated[Literal["surge", "in-place"] | None, _filled("see Rollouts")] = None
    """Order in which a change starts new replicas and ends old ones."""
    priority: Literal["serving", "batch"] = "serving"
    """Whether clients wait for it. Pods of a batch entry give up their GPUs to a serving pod that finds none free."""
    accept_outage: bool = False
    """Whether a single replica may be changed in place."""
    gpus_per_replica: Annotated[int, FROM_PLAN] = Field(ge=1)
    """GPUs of one replica; the parallel sizes in the engine's arguments must use all of them."""
    nodes_per_replica: Annotated[int, FROM_PLAN] = Field(default=1, ge=1)
    """Hosts of one replica, with as many GPUs on each."""
    rdma_resource: ResourceName | None = None
    """Resource that gives a pod `/dev/infiniband`, as the site's RDMA device plugin calls it, such as
    `rdma/hca_shared_devices`. It is for replicas over several hosts; without it, ranks talk over TCP."""
    cpu_request: Annotated[CpuQuantity, FROM_PLAN]
    """CPU request of a pod; there is no limit."""
    memory_request: Annotated[MemoryQuantity, FROM_PLAN]
    """Memory request of a pod."""
    memory_limit: Annotated[MemoryQuantity, FROM_PLAN]
    """Memory limit of a pod."""
    shared_memory: Annotated[MemoryQuantity, FROM_PLAN] = "1Gi"
    """Size of /dev/shm, which counts against the memory limit."""
    env: dict[EnvName, str] = Field(default_factory=dict)
    """Environment of the server's container."""
    extra_args: tuple[str, ...] = ()
    """Arguments of the engine, after those of the plan."""
    drain_seconds: Annotated[int, FROM_PLAN] = Field(default=120, ge=1)
    """Time for requests to end after SIGTERM."""
    startup_seconds: Annotated[int, FROM_PLAN] = Field(default=600, ge=10)
    """Time that loading may take."""
    evidence: Evidence | None = None
    override: Override | None = None

    @property
    def fewest_replicas(self) -> int:
        """Replicas that always run."""
        return self.autoscaling.min if self.autoscaling else self.replicas

    @property
    def gpus_per_pod(self) -> int:
        return self.gpus_per_replica // self.nodes_per_replica


class GatewayService(Section):
    type: Literal["NodePort", "LoadBalancer", "ClusterIP"] = "ClusterIP"
    """Kind of the service by which clients reach the gateway."""
    node_port: NodePort | None = None
    """Port on every node's address; NodePort needs it."""
    address: IPv4Address | None = None
    """Address that the site's load balancer (MetalLB, kube-vip) gives the gateway; LoadBalancer needs it. The stack
    makes no load balancer and does not wait for one."""
    annotations: dict[LabelKey, str] = Field(default={})
    """Annotations of the service, for the site's load balancer."""


class GatewayTimeouts(Section):
    connect_seconds: int = Field(default=1, ge=1, le=10)
    """Time to connect to a model server."""
    request_seconds: int = Field(default=30, ge=1)
    """Time for a request to arrive."""
    server_seconds: Annotated[int, _filled("the longest drainSeconds of models, at least {}")] = Field(
        default=600, ge=1
    )
    """Longest silence of a model server. A streamed token ends it; an answer that is not streamed is silent until it is
    whole."""


class KeyLimits(Section):
    """Limits of one key. What is left out is not limited."""

    in_flight: int | None = Field(default=None, ge=1)
    """Requests of one key at once."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Requests of one key in any 60 seconds."""
    service_class: Literal["interactive", "batch"] = Field(default="interactive", alias="class")
    """Class of the key's requests: where requests wait, those of batch keys get each eighth turn, and what
    interactive ones leave."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Tokens of one key in any 60 seconds: prompt and answer. Reserved when a request begins, by its size and its
    max_tokens, and corrected by what it used."""


class GatewayLimits(Section):
    default: KeyLimits = KeyLimits()
    keys: dict[KeyName, KeyLimits] = Field(default_factory=dict)
    """Limits of single keys of apiKeys, in place of the default."""
    requests_per_replica: dict[ModelName, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Requests at one ready replica at once, by servedName; further ones wait in fair turns of the keys."""
    queue_seconds: int = Field(default=30, ge=1, le=60)
    """Longest wait of a request above inFlight or requestsPerReplica, before it is refused."""
    queue_requests: int = Field(default=64, ge=0)
    """Requests of one key that may wait; 0 refuses at once."""
    answer_tokens: int = Field(default=1024, ge=1)
    """Tokens that are reserved for an answer whose request has no max_tokens."""


class GatewayAffinity(Section):
    enabled: bool = True
    """Whether the turns of a conversation go to the replica that has its beginning in its prefix cache; otherwise each
    request goes to the replica with the fewest."""
    load_percent: int = Field(default=150, ge=100, le=1000)
    """Most requests in flight that a replica may have for that, in percent of the mean."""


class Gateway(Section):
    replicas: int = Field(default=2, ge=1)
    """Number of gateways."""
    service: GatewayService = GatewayService()
    tls_secret: DnsName | None = None
    """Secret of type `kubernetes.io/tls` in the stack's namespace. Without one the gateway speaks HTTP."""
    host_names: tuple[DnsName, ...] = ()
    """Names and addresses by which clients reach the gateway. A preview refuses a certificate that is not for them."""
    client_ca_secret: DnsName | None = None
    """Secret with the authority's certificate as `ca.crt`. With it, clients need a certificate of that authority beside
    their key."""
    cors_origins: tuple[Origin, ...] = ()
    """Origins whose pages may call the gateway from a browser, such as `https://chat.site.example`."""
    retries: int = Field(default=1, ge=0, le=3)
    """Further attempts on other replicas, before the first byte of an answer only. Each one lets a request that kills
    its engine kill another."""
    affinity: GatewayAffinity = GatewayAffinity()
    timeouts: GatewayTimeouts = GatewayTimeouts()
    max_body_bytes: Annotated[int, _filled("16 for each token of the longest context, at least {}")] = Field(
        default=1_048_576, ge=4096, le=16_777_216
    )
    """Largest request. The pod's memory limit follows from it: what is accepted can be retried."""
    max_connections: int = Field(default=512, ge=16)
    """Connections of one gateway."""
    threads: int = Field(default=2, ge=1, le=64)
    """Threads of one gateway."""
    drain_seconds: Annotated[int, _filled("the longest drainSeconds of models, at least {}")] = Field(default=300, ge=1)
    """Time for streams to end when a gateway stops."""
    limits: GatewayLimits | None = None


class Settings(Section):
    """A whole stack."""

    namespace: DnsLabel
    """Namespace that holds everything."""
    cluster_domain: DnsName = "cluster.local"
    """DNS domain of the cluster."""
    cluster_uid: str | None = Field(default=None, pattern=r"^[0-9a-f-]{36}$")
    """The uid of namespace kube-system of the only cluster that the stack may change. By default it is the cluster of
    the first run, as the output `cluster` has it."""
    registry: Registry
    """The only registry that images may come from, as in the inventory: host[:port], or host[:port]/path."""
    registry_login: RegistryLogin | None = None
    images: Images
    signed_images: SignedImages | None = None
    gpu_runtime_class: DnsName
    """Runtime class that brings the driver into every pod that uses GPUs: the inventory's `site_gpu_runtime_class`."""
    gpu_quota: int | None = Field(default=None, ge=1)
    """Largest number of GPUs that the pods of the namespace may hold together. Without it, all that are free."""
    models: tuple[Model, ...] = Field(min_length=1)
    """Everything that is served, each entry with the keys of the next table. Requests that name no other entry go to
    the first."""
    gateway: Gateway = Gateway()
    monitoring: Monitoring = Monitoring()
    promotion: Promotion = Promotion()
    evaluation: Evaluation | None = None
    repair: Repair | None = None
    logs: Logs | None = None
    tracing: Tracing | None = None
    api_keys: dict[KeyName, SecretStr] = Field(min_length=1)
    """Keys of the clients by name. The name goes to logs and metrics; the cluster holds only digests of the keys."""
    engine_keys: tuple[SecretStr, ...] = Field(min_length=1)
    """Keys that engines accept. Gateways send the first one; no client needs one."""

    @property
    def service_domain(self) -> str:
        """Domain that follows the name of a service of this stack in DNS."""
        return f"{self.namespace}.svc.{self.cluster_domain}"
