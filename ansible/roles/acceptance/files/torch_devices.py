"""Print as JSON what torch sees of the GPUs. Runs in the runtime image, with the host's GPUs given to the pod."""

import json

import torch

available = torch.cuda.is_available()
answer = {
    "cuda_available": available,
    "devices": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())] if available else [],
    "torch": torch.__version__,
    "cuda_build": torch.version.cuda,
}
if available:
    # A fabric that is not up lets nvidia-smi answer and CUDA fail: only a kernel's result proves a device.
    answer["computed"] = all(
        (torch.ones(64, device=f"cuda:{n}").sum() == 64).item() for n in range(len(answer["devices"]))
    )
print(json.dumps(answer))
