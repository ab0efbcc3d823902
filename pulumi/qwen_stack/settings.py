"""What a stack's configuration may say: frozen models of its shape. The rules between keys are in rules.py.

YAML keys are camelCase, attributes are snake_case. Units stand in the names; Kubernetes quantities keep their
own notation ("2Gi", "200m").
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, InstanceOf, SecretStr, StringConstraints
from pydantic.alias_generators import to_camel
from qwen_runtime.engine.registry import SERVES_BY_DEFAULT, servers

from qwen_stack.plans import Plan

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
VariantName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$")]
# Names of pods, of which a group's end in two numbers, have at most 63 characters.
ServerName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,46}[a-z0-9])?$")]
LabelKey = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
]
ResourceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][-a-z0-9.]{0,252}/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
DnsName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
Image = Annotated[str, StringConstraints(pattern=r"^[^\s@]+?(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$")]
CpuQuantity = Annotated[str, StringConstraints(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$")]
MemoryQuantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti)$")]
PrometheusDuration = Annotated[str, StringConstraints(pattern=r"^[0-9]+(m|h|d|w|y)$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
NodePort = Annotated[int, Field(ge=30000, le=32767)]
# Names go into a header, a log line and a map file; keys are compared by digest, so they must be long to be strong.
KeyName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


def _known_engine(name: str) -> str:
    if name not in servers():
        raise ValueError(f"one of {', '.join(servers())}")
    return name


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


class Images(Section):
    """Full references in the site's registry: `<registry>/<path>:<tag>` or, better, `...@sha256:<digest>`."""

    runtime: Image
    gateway: Image
    prometheus: Image
    alertmanager: Image
    dcgm_exporter: Image


class Model(Section):
    """One way to serve one model, by `replicas` equal pods, or groups of `nodes_per_replica` pods, of
    `gpus_per_replica` GPUs. What the stack leaves out of an entry, entries.py has filled in."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: ModelName
    """The weights: their directory and the model of their manifest."""
    served_name: ModelName
    """Its name in the API."""
    server: ServerName
    """What its objects in the cluster are called."""
    variant: VariantName | None = None
    """Marks another way to serve the weights of an entry before."""
    plan: InstanceOf[Plan] | None = None
    engine: Annotated[str, AfterValidator(_known_engine)] = SERVES_BY_DEFAULT
    hosts: dict[LabelKey, LabelValue] = {}
    """Labels of the hosts that serve it, beside that of every GPU host."""
    path: str = Field(default="/var/lib/qwen/models", pattern=r"^/[^\s:]*[^\s:/]$")
    verify: Literal["fast", "full"] = "fast"
    max_model_len: int = Field(gt=0)
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """None: the plan's or, without one, bfloat16."""
    replicas: int = Field(ge=1)
    spare_replicas: int = Field(default=0, ge=0)
    """Replicas for which GPUs are kept free."""
    rollout: Literal["surge", "in-place"] | None = None
    """None: rollouts.py chooses."""
    accept_outage: bool = False
    gpus_per_replica: int = Field(ge=1)
    nodes_per_replica: int = Field(default=1, ge=1)
    rdma_resource: ResourceName | None = None
    """What a pod of a group asks for to get its host's InfiniBand devices; None: ranks talk over TCP."""
    cpu_request: CpuQuantity
    memory_request: MemoryQuantity
    memory_limit: MemoryQuantity
    shared_memory: MemoryQuantity = "1Gi"
    env: dict[EnvName, str] = {}
    extra_args: tuple[str, ...] = ()
    drain_seconds: int = Field(default=120, ge=1)
    startup_seconds: int = Field(default=600, ge=10)

    @property
    def gpus_per_pod(self) -> int:
        return self.gpus_per_replica // self.nodes_per_replica


class GatewayService(Section):
    type: Literal["NodePort", "LoadBalancer", "ClusterIP"] = "ClusterIP"
    node_port: NodePort | None = None


class GatewayTimeouts(Section):
    """`server_seconds` is the longest silence, not the longest answer: every streamed token starts it anew."""

    connect_seconds: int = Field(default=1, ge=1, le=10)
    request_seconds: int = Field(default=30, ge=1)
    server_seconds: int = Field(default=600, ge=1)


class Gateway(Section):
    replicas: int = Field(default=2, ge=1)
    service: GatewayService = GatewayService()
    retries: int = Field(default=3, ge=0, le=3)
    timeouts: GatewayTimeouts = GatewayTimeouts()
    max_body_bytes: int = Field(default=1_048_576, ge=4096, le=16_777_216)
    max_connections: int = Field(default=512, ge=16)
    max_upstreams: int = Field(default=32, ge=2)
    threads: int = Field(default=2, ge=1, le=64)
    drain_seconds: int = Field(default=300, ge=1)


class Monitoring(Section):
    prometheus_node_port: NodePort | None = None
    alertmanager_node_port: NodePort | None = None
    scrape_seconds: int = Field(default=15, ge=1, le=120)
    retention: PrometheusDuration = "15d"
    storage_limit: MemoryQuantity = "8Gi"
    gpu_utilization_threshold: float = Field(default=0.9, gt=0, lt=1)
    alert_webhook_url: str | None = Field(default=None, pattern=r"^https?://\S+$")


class RegistryLogin(Section):
    """Login with which the pods of the stack pull their images."""

    user: str = Field(pattern=r"^[^\s:]+$")
    password: SecretStr = Field(min_length=1)


class Settings(Section):
    """A whole stack."""

    namespace: DnsLabel
    cluster_domain: DnsName = "cluster.local"
    registry: str = Field(pattern=r"^[^\s/@]+$")
    registry_login: RegistryLogin | None = None
    images: Images
    gpu_runtime_class: DnsName
    models: tuple[Model, ...] = Field(min_length=1)
    """Everything that is served; requests that name none of them go to the first."""
    gateway: Gateway = Gateway()
    monitoring: Monitoring = Monitoring()
    api_keys: dict[KeyName, SecretStr] = Field(min_length=1)

    @property
    def service_domain(self) -> str:
        """What stands behind the name of a service of this stack in its full DNS name."""
        return f"{self.namespace}.svc.{self.cluster_domain}"
