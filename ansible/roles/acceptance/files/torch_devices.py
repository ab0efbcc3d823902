"""Print as JSON what a container with GPUs can use: devices of the driver and of torch, and memory to lock.

Runs in the runtime image, with the host's GPUs given to the pod.
"""

import ctypes
import json
import resource
from typing import Any

import torch


def driver() -> dict[str, Any]:
    """Number of devices that libcuda.so.1 counts, or why it counts none."""
    count = ctypes.c_int(0)
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"devices": 0, "error": str(error)}
    for step, code in (
        ("cuInit", library.cuInit(0)),
        ("cuDeviceGetCount", library.cuDeviceGetCount(ctypes.byref(count))),
    ):
        if code:
            return {"devices": 0, "error": f"libcuda.so.1: {step} answers {code}"}
    return {"devices": count.value}


available = torch.cuda.is_available()
answer = {
    "driver": driver(),
    "locked_memory_bytes": resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
    "cuda_available": available,
    "devices": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())] if available else [],
    "torch": torch.__version__,
    "cuda_build": torch.version.cuda,
}
if available:
    # nvidia-smi answers even when the fabric is down and CUDA fails, so only a kernel's result proves a device.
    answer["computed"] = all(
        (torch.ones(64, device=f"cuda:{n}").sum() == 64).item() for n in range(len(answer["devices"]))
    )
print(json.dumps(answer))
