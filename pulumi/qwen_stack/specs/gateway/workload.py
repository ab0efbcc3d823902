"""Manifests of the gateway: Envoy in front of the model servers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from qwen_stack.settings.stack import Gateway, GatewayService
from qwen_stack.specs import engine_keys, manifest
from qwen_stack.specs.gateway import config, tls
from qwen_stack.specs.gateway import weights as gateway_weights
from qwen_stack.specs.gateway.routes import (
    ADMIN_PORT,
    API_PORT,
    CLIENT_CA_DIR,
    CONFIG_DIR,
    KEYS_DIR,
    METRICS_PORT,
    TLS_DIR,
    WEIGHTS_DIR,
)
from qwen_stack.specs.manifest import (
    NO_CLUSTER_ACCESS,
    Manifest,
    app,
    checksum,
    container_security,
    exposed,
    metadata,
    pod_security,
    probe,
    service,
    spread,
)

NAME = "gateway"
METRICS_NAME = "gateway-metrics"
MOUNTS = {
    "config": CONFIG_DIR,
    "weights": WEIGHTS_DIR,
    "clients": KEYS_DIR,
    "tls": TLS_DIR,
    "engine-key": engine_keys.SENT_DIR,
    "client-ca": CLIENT_CA_DIR,
}
# Longest wait of a new gateway for ready replicas. Then it serves without: its clients get an error in words.
REPLICAS_WITHIN_S = 30
# Time in which every node stops sending to a gateway that ends, before it refuses connections.
WITHDRAWAL_S = 5
# Sends a request to Envoy's own interface, which answers on loopback alone. The image has bash and no client for HTTP.
ADMIN = r"""
admin() {{
  exec 3<>/dev/tcp/127.0.0.1/{port}
  printf '%s %s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: 0\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
}}
"""


def clients_map(api_keys: Mapping[str, str]) -> str:
    """Lines of `<SHA-256 of a key> <name>`: the cluster holds no key, and the time of a lookup does not reveal one."""
    lines = (f"{hashlib.sha256(key.encode()).hexdigest()} {name}\n" for name, key in sorted(api_keys.items()))
    return "".join(lines)


def clients_secret(clients: Any) -> Manifest:
    """`clients` is the map in base64: a string, or a pulumi Output of one."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(f"{NAME}-clients"),
        "type": "Opaque",
        "data": {"clients.map": clients},
    }


def config_map(files: Mapping[str, str]) -> Manifest:
    """The files by a name that follows from them: what runs keeps its own until it is replaced."""
    return {**manifest.config_map(f"{NAME}-config-{_digest(files)}", dict(files)), "immutable": True}


def weights_map(weights: Mapping[str, str], files: Mapping[str, str]) -> Manifest:
    """The files with the weights, which change in place. Their name follows from the other files: gateways that run
    with others have weights of their own."""
    return manifest.config_map(f"{NAME}-weights-{_digest(files)}", dict(weights))


def _digest(files: Mapping[str, str]) -> str:
    return checksum(*files.values())[:10]


def stop_script(gateway: Gateway, admin_port: int = ADMIN_PORT, withdrawal_s: int = WITHDRAWAL_S) -> str:
    """Hook before the pod ends; SIGTERM, which follows it, cuts every stream.

    First answers ask clients to leave, then no connection is accepted, and the hook ends when the last one has closed.
    """
    return (
        ADMIN.format(port=admin_port)
        + f"""
admin POST /healthcheck/fail
sleep {withdrawal_s}
admin POST '/drain_listeners?inboundonly'
for ((second = 0; second < {gateway.drain_seconds}; second++)); do
  if admin GET '/stats?filter=^http.{config.API}.downstream_cx_active$' | grep -q 'active: 0'; then break; fi
  sleep 1
done
"""
    )


def start_script(
    weights_dir: str = WEIGHTS_DIR, admin_port: int = ADMIN_PORT, within_s: int = REPLICAS_WITHIN_S
) -> str:
    """Probe of a gateway that starts: each entry that has a weight has a replica that it knows to be ready.

    Envoy listens once it has asked for names and health, whatever the answers were. On a busy cluster they may come too
    late, and such a gateway would refuse what the one before it could answer.
    """
    return (
        ADMIN.format(port=admin_port)
        + f"""
mapfile -t servers < {weights_dir}/{gateway_weights.SERVERS_FILE}
printf -v healthy 'cluster.%s.membership_healthy|' "${{servers[@]}}"
stats=$(admin GET "/stats?filter=^(${{healthy}}server.uptime)$")
ready=$(printf '%s' "$stats" | grep -c 'membership_healthy: [1-9]')
[[ $stats =~ server.uptime:.([0-9]+) ]]
((ready == ${{#servers[@]}} || BASH_REMATCH[1] >= {within_s}))
"""
    )


def command(gateway: Gateway, config_dir: str = CONFIG_DIR) -> list[str]:
    """Command that replaces the image's own, which would change to a user of its own."""
    return [
        *("envoy", "--config-path", f"{config_dir}/{config.CONFIG_FILE}"),
        *("--concurrency", str(gateway.threads), "--log-level", "warning"),
        # Hot restart needs memory that is shared with a second process.
        "--disable-hot-restart",
        *("--drain-strategy", "immediate"),
    ]


def container(gateway: Gateway, image: str) -> Manifest:
    memory = config.memory_mib(gateway)
    return {
        "name": NAME,
        "image": image,
        "command": command(gateway),
        "ports": [
            {"name": "http", "containerPort": API_PORT},
            {"name": "metrics", "containerPort": METRICS_PORT},
        ],
        "resources": {
            # A pod that asks for little and takes much is the first that a full node evicts.
            "requests": {"cpu": "50m", "memory": f"{memory // 2}Mi"},
            "limits": {"memory": f"{memory}Mi"},
        },
        "startupProbe": {
            "exec": {"command": ["bash", "-c", start_script()]},
            "periodSeconds": 1,
            "failureThreshold": 10 * REPLICAS_WITHIN_S,
            "timeoutSeconds": 5,
        },
        # Health of the gateway itself: without a ready model server it still answers, with an error.
        "readinessProbe": probe(tls.READY, "metrics", period_s=2, failures=2),
        "livenessProbe": probe("/healthz", "metrics", period_s=10, failures=3),
        "lifecycle": {"preStop": {"exec": {"command": ["bash", "-c", stop_script(gateway)]}}},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": volume["name"], "mountPath": MOUNTS[volume["name"]], "readOnly": True}
            for volume in volumes(gateway, "", "")
        ],
    }


def volumes(gateway: Gateway, config_name: str, weights_name: str) -> list[Manifest]:
    secrets = {"clients": f"{NAME}-clients", "engine-key": engine_keys.SENT}
    secrets |= {"tls": gateway.tls_secret} if gateway.tls_secret else {}
    secrets |= {"client-ca": gateway.client_ca_secret} if gateway.client_ca_secret else {}
    return [
        {"name": "config", "configMap": {"name": config_name}},
        {"name": "weights", "configMap": {"name": weights_name}},
        *({"name": name, "secret": {"secretName": of, "defaultMode": 0o440}} for name, of in secrets.items()),
    ]


def deployment(gateway: Gateway, image: str, config_name: str, weights_name: str) -> Manifest:
    """The names follow from the files, so that a change of them replaces the pods. One of keys or weights does not."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(NAME),
        "spec": {
            "replicas": gateway.replicas,
            # All new gateways start at once: a change waits for one start, not for one after the other.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
            "selector": {"matchLabels": app(NAME)},
            "template": {
                "metadata": {"labels": app(NAME)},
                "spec": {
                    **NO_CLUSTER_ACCESS,
                    **spread(NAME),
                    "terminationGracePeriodSeconds": WITHDRAWAL_S + gateway.drain_seconds + 10,
                    "securityContext": pod_security(),
                    "containers": [container(gateway, image)],
                    "volumes": volumes(gateway, config_name, weights_name),
                },
            },
        },
    }


def gateway_service(gateway: Gateway) -> Manifest:
    number = 443 if gateway.tls_secret else 80
    if gateway.service.type == "LoadBalancer":
        return _balanced(gateway.service, number)
    return exposed(NAME, "http", number, gateway.service.node_port)


def _balanced(wanted: GatewayService, number: int) -> Manifest:
    """Service for the site's load balancer. Pulumi would wait ten minutes for one that is not there, and then fail."""
    balanced = service(NAME, {"http": number}, type="LoadBalancer", loadBalancerIP=str(wanted.address))
    balanced["metadata"]["annotations"] = {**wanted.annotations, "pulumi.com/skipAwait": "true"}
    return balanced


def metrics_service() -> Manifest:
    """Service whose name resolves to every gateway, for Prometheus."""
    return service(METRICS_NAME, {"metrics": METRICS_PORT}, selector=app(NAME), clusterIP="None")
