"""Ways to break what a host's own programs tell: certificates, backups, services, memory, and the exporters."""

from __future__ import annotations

import json
from pathlib import Path

from lab.cluster.stack import NAMESPACE
from tests.faults.alert_receiver import Kubectl
from tests.faults.breaking import CONTROL_PLANE, FULL, GPU_HOST, TEXT_DIR, by_commands, on_host
from tests.faults.story import Fault

FABRIC_MANAGER = "nvidia-fabricmanager"
EXPORTER = "prometheus-node-exporter"
PARTS = f"{TEXT_DIR}/parts-of-a-test.prom"
# Series of what the lab's machine does not have: InfiniBand, error counters of memory.
WHOLE, BROKEN = (
    f"""cat > {PARTS}.new << END
node_infiniband_state_id{{device="mlx5_0",port="1"}} {state}
node_infiniband_link_error_recovery_total{{device="mlx5_1",port="1"}} 0
node_infiniband_port_errors_received_total{{device="mlx5_1",port="1"}} {damaged}
node_edac_uncorrectable_errors_total{{controller="0"}} {errors}
END
mv {PARTS}.new {PARTS}"""
    for state, damaged, errors in ((4, 0, 0), (1, 50, 1))
)
EVICTED = "pod-of-a-test"


def parts_that_are_whole() -> None:
    """Begin to tell the series of parts that are to break."""
    on_host(GPU_HOST, WHOLE)


def parts_break() -> Fault:
    return by_commands(
        GPU_HOST,
        "a port of InfiniBand, damaged packets, a module of memory (a stand-in's series)",
        ("InfinibandDown", "NicErrors", "HostMemoryError"),
        BROKEN,
        f"rm --force {PARTS}",
    )


def disk_fills() -> Fault:
    return by_commands(
        GPU_HOST,
        "a file system of 4 MB filled to 94 %",
        ("DiskFills",),
        f"head --bytes 3930k /dev/zero > {FULL}/filled",
        f"rm --force {FULL}/filled",
    )


def text_is_garbage() -> Fault:
    file = f"{TEXT_DIR}/garbage-of-a-test.prom"
    return by_commands(
        GPU_HOST,
        "a file of measurements that is none",
        ("HostTextFailed",),
        f"echo '<html>' > {file}",
        f"rm --force {file}",
    )


def fabric_manager_dies() -> Fault:
    """The rule looks at more than half of five minutes, so that this breaks before Prometheus begins."""
    return by_commands(
        GPU_HOST,
        "SIGKILL to the fabric manager",
        ("HostServiceFailed",),
        f"systemctl kill --signal KILL {FABRIC_MANAGER}",
        f"systemctl reset-failed {FABRIC_MANAGER}; systemctl start {FABRIC_MANAGER}",
    )


def memory_runs_out() -> Fault:
    eater = """python3 -c 'held = "x" * 10**9'"""
    return by_commands(
        GPU_HOST,
        "a program that takes more memory than it may",
        ("HostMemoryKills",),
        f"! systemd-run --wait --quiet --property MemoryMax=20M --property MemorySwapMax=0 {eater} 2> /dev/null",
        "true",
    )


def certificates_end() -> Fault:
    """Two certificates that end soon, among those that the host looks at, and nobody looks for some hours."""
    names, made = [], []
    for days in (1, 10):
        name = f"of-a-test-{days}.crt"
        key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null"
        made.append(f"openssl req -x509 {key} -subj /CN=test -days {days} -out /run/{name} 2> /dev/null")
        names.append(name)
    told = f"{TEXT_DIR}/certificates.prom"
    files = " ".join(names)
    return by_commands(
        CONTROL_PLANE,
        "certificates of 1 and of 10 days, then no reading for 4 hours",
        ("CertificateEnds", "CertificateExpires", "CertificatesUnread"),
        f"{'; '.join(made)}; cd /run; mv {files} /etc/kubernetes/pki; "
        f"timeout 60 sh -c 'until grep --quiet {names[1]} {told}; do sleep 1; done'; touch --date '4 hours ago' {told}",
        f"cd /etc/kubernetes/pki; rm --force {files}",
    )


def backup_is_old() -> Fault:
    file = f"{TEXT_DIR}/etcd-backup.prom"
    return by_commands(
        CONTROL_PLANE,
        "a snapshot of etcd that is a day old",
        ("BackupOld",),
        f"cp --preserve {file} /run/kept.prom; "
        f'sed --in-place "s/^\\(qwen_etcd_backup_time_seconds\\) .*/\\1 $(date --date yesterday +%s)/" {file}',
        f"! test -e /run/kept.prom || mv /run/kept.prom {file}",
    )


def exporter_of_a_host_ends() -> Fault:
    return by_commands(
        CONTROL_PLANE,
        "the exporter of a host ended",
        ("HostDown",),
        f"systemctl stop {EXPORTER}",
        f"systemctl start {EXPORTER}",
    )


def api_stands_still() -> Fault:
    answers = "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 5s get --raw /readyz"
    return by_commands(
        CONTROL_PLANE,
        "SIGSTOP to the API server",
        ("ApiDown",),
        "kill -STOP $(pidof kube-apiserver)",
        "kill -CONT $(pidof kube-apiserver) || true; "
        f"timeout 240 sh -c 'until {answers}; do sleep 1; done' > /dev/null 2>&1",
    )


def gpu_exporter_leaves(kubectl: Kubectl) -> Fault:
    """No host may have the exporter of GPUs any more, as if the only one with GPUs had gone.

    The last target of its job vanishes with it, of which HostVanished speaks.
    """

    def choose(value: str | None) -> None:
        patch = json.dumps({"spec": {"template": {"spec": {"nodeSelector": {"of-a-test": value}}}}})
        kubectl("--namespace", NAMESPACE, "patch", "daemonset/dcgm-exporter", "--type=merge", "--patch", patch)

    def come_back() -> None:
        choose(None)
        kubectl("--namespace", NAMESPACE, "rollout", "status", "daemonset/dcgm-exporter", "--timeout=120s")

    cause = "the exporter of GPUs gone from its host"
    return Fault(cause, ("HostVanished",), lambda: choose("nowhere"), come_back)


def pod_fills_its_volume(kubectl: Kubectl, folder: Path) -> Fault:
    """A pod that writes more than its volume may hold, so that the kubelet throws it out."""
    own = ("--namespace", NAMESPACE)
    gateway = json.loads(kubectl(*own, "get", "deployment/gateway", "--output=json"))["spec"]["template"]["spec"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": EVICTED, "namespace": NAMESPACE},
        "spec": {
            "automountServiceAccountToken": False,
            "nodeName": GPU_HOST,
            "restartPolicy": "Never",
            "imagePullSecrets": gateway.get("imagePullSecrets", []),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "fill",
                    "image": gateway["containers"][0]["image"],
                    "command": ["bash", "-c", "head --bytes 20M /dev/zero > /data/filled; sleep 600"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}],
        },
    }
    file = folder / "pod.json"

    def fill() -> None:
        file.write_text(json.dumps(pod))
        kubectl("create", "--filename", str(file))

    def remove() -> None:
        kubectl(*own, "delete", f"pod/{EVICTED}", "--ignore-not-found", "--now")

    return Fault("a pod that fills its volume", ("PodsEvicted",), fill, remove)
