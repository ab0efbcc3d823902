"""Reduce a tensor over all ranks; rank 0 prints as JSON whether the sum was right and how fast it was.

    torchrun ... all_reduce.py BACKEND MB

Bus bandwidth = bytes / time x 2 (n - 1) / n, which does not depend on the number of ranks n
(https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md).
"""

import json
import os
import sys
import time

import torch
import torch.distributed as dist

WARM_UP, MEASURED = 3, 10

backend, size_mb = sys.argv[1], int(sys.argv[2])
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if backend == "nccl" else torch.device("cpu")
if backend == "nccl":
    torch.cuda.set_device(device)
dist.init_process_group(backend)
rank, ranks = dist.get_rank(), dist.get_world_size()

tensor = torch.full((size_mb * 10**6 // 4,), rank + 1, dtype=torch.float32, device=device)
dist.all_reduce(tensor)
wanted = ranks * (ranks + 1) / 2
# Every rank looks at its own copy; one that is wrong makes the least of all verdicts 0.
verdict = torch.tensor([float(bool((tensor == wanted).all()))], device=device)
dist.all_reduce(verdict, dist.ReduceOp.MIN)

tensor.zero_()
for _ in range(WARM_UP):
    dist.all_reduce(tensor)
dist.barrier()
if backend == "nccl":
    torch.cuda.synchronize()
begun = time.monotonic()
for _ in range(MEASURED):
    dist.all_reduce(tensor)
if backend == "nccl":
    torch.cuda.synchronize()
dist.barrier()
seconds = (time.monotonic() - begun) / MEASURED

if rank == 0:
    size_bytes = tensor.numel() * tensor.element_size()
    answer = {
        "backend": backend,
        "ranks": ranks,
        "bytes": size_bytes,
        "correct": bool(verdict.item()),
        "bus_gb_per_s": round(size_bytes / seconds * 2 * (ranks - 1) / ranks / 1e9, 3),
    }
    print(json.dumps(answer), flush=True)
dist.destroy_process_group()
