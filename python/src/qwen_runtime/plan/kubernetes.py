"""Requests of a plan's pods to Kubernetes, and the needs of their hosts."""

from __future__ import annotations

import math
from typing import Any

from qwen_runtime.plan import cache
from qwen_runtime.plan.planner import Plan
from qwen_runtime.units import GIB, GIGA

# Memory of a pod: API server, and a worker for each GPU with CUDA's and torch's host side. A worker of vLLM's CPU build
# took 1.0 GB and the API server 1.07 GB; CUDA's libraries and pinned buffers come on top.
SERVER_GIB = 8
WORKER_GIB = 8
SHARED_GIB_PER_GPU = 2
"""/dev/shm for NCCL and vLLM's message queues: the size that vLLM's own Kubernetes example gives one GPU
(https://docs.vllm.ai/en/latest/deployment/k8s.html)."""
CORES_PER_GPU = 4
SYSTEM_GIB = 32
"""Host memory kept free for everything but model servers."""
LEAST_DRAIN_S = 300
SLOWER_THAN_PREDICTED = 1.25
"""Factor on predicted times: three quarters of those that were not fitted are within 25 % (docs/planner.md)."""
GRACE_MARGIN_S = 30
"""Time between the end of the drain and SIGKILL: `qwen-runtime serve` asks for 15 s."""
LOAD_BYTES_PER_S = 1 * GIGA
"""Assumed rate of loading weights from disk to GPUs: a tenth of what an array of NVMe disks gives."""
WARM_UP_S = 600
"""Compilation, graph capture and profiling; 70 s of compilation were seen for a small model on two cores."""
_RESOURCE = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "cpu": None}


def requests(plan: Plan) -> dict[str, Any]:
    """Requests of one pod, unless a key says otherwise; memory as Kubernetes quantities, times in seconds."""
    request, layout = plan.request, plan.best.layout
    pods = layout.nodes_per_replica(request.site)
    gpus = layout.gpus_per_replica // pods
    memory_gib = pod_memory_gib(plan)
    offload_gib = pod_offload_gib(plan)
    answer_s = longest_answer_seconds(plan)
    drain_s = max(LEAST_DRAIN_S, _minutes(answer_s))
    spare_gpus = _spare_gpus(plan)
    return {
        "replicas": layout.replicas,
        "gpu_resource": _RESOURCE[request.gpu.vendor],
        "gpus": gpus if request.gpu.vendor != "cpu" else 0,
        "cpu_request": str(CORES_PER_GPU * gpus if request.gpu.vendor != "cpu" else 1),
        "memory_request": f"{memory_gib + offload_gib}Gi",
        "memory_limit": f"{2 * memory_gib + offload_gib}Gi",
        "shared_memory": f"{SHARED_GIB_PER_GPU * gpus + offload_gib}Gi",
        "longest_answer_seconds": answer_s,
        "drain_seconds": drain_s,
        "termination_grace_period_seconds": drain_s + GRACE_MARGIN_S,
        "startup_seconds": _minutes(WARM_UP_S + 2 * request.shape.size_bytes / LOAD_BYTES_PER_S),
        "spare_gpus_for_max_surge": spare_gpus,
        "spare_nodes_for_max_surge": math.ceil(spare_gpus / request.site.gpus_per_node),
    }


def host(plan: Plan) -> dict[str, int]:
    """Needs of each host: memory for its pods at their limits, disk for two revisions of the weights."""
    layout, site = plan.best.layout, plan.request.site
    pods_on_host = max(1, site.gpus_per_node // layout.gpus_per_replica)
    return {
        "memory_bytes": ((2 * pod_memory_gib(plan) + pod_offload_gib(plan)) * pods_on_host + SYSTEM_GIB) * GIB,
        "disk_bytes": 2 * plan.request.shape.size_bytes,
    }


def pod_offload_gib(plan: Plan) -> int:
    """Host memory for what the KV cache pushes out. vLLM 0.32 keeps it in a file below /dev/shm, which counts as memory
    of the pod (vllm/v1/kv_offload/cpu/shared_offload_region.py)."""
    layout = plan.best.layout
    return cache.offload_gib(plan.request, layout) * layout.attention_groups


def pod_memory_gib(plan: Plan) -> int:
    """Memory that the processes of a pod take. The limit is twice that: weights are read through the page cache, which
    counts against the limit too, but is given back on demand."""
    request, layout = plan.request, plan.best.layout
    if request.gpu.vendor == "cpu":
        memory = plan.best.memory
        return math.ceil((memory.weights_bytes + memory.headroom_bytes + memory.kv_bytes) / GIB)
    gpus = layout.gpus_per_replica // layout.nodes_per_replica(request.site)
    return SERVER_GIB + (WORKER_GIB + SHARED_GIB_PER_GPU) * gpus


def longest_answer_seconds(plan: Plan) -> int:
    """Time for the longest answer at the busiest that was predicted; 0 where no speed is predicted."""
    tokens = plan.request.wishes.uncut_tokens
    answers_s = (prediction.ttft_s + tokens * prediction.inter_token_s for prediction in plan.predicted)
    return math.ceil(SLOWER_THAN_PREDICTED * max(answers_s, default=0))


def _spare_gpus(plan: Plan) -> int:
    """GPUs that a rolling update needs beyond those of the site: one replica's, unless so many are idle."""
    layout, site = plan.best.layout, plan.request.site
    idle = site.gpus - layout.gpus
    return max(0, layout.gpus_per_replica - idle)


def _minutes(seconds: float) -> int:
    """Rounded up to whole minutes, in seconds."""
    return math.ceil(seconds / 60) * 60
