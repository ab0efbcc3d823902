"""The loaded test of GPUs: every device multiplies matrices and keeps its memory full, and each result is checked.

Entries are -1, 0 and 1, so that sums in float32 are exact in any order: a product that differs by a single bit from the
one before is a fault of the device.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qwen_runtime.errors import HostError

if TYPE_CHECKING:
    import torch

SIZE = 8192
CHECKED_ROWS = 64
BLOCK_BYTES = 1 << 30
# Left for torch's own needs.
MEMORY_SHARE = 0.8
REMEDY = "Read the kernel's log (journalctl --dmesg --grep NVRM), and do not let this host serve."


def devices() -> list[torch.device]:
    """Every GPU of the container. Raises HostError without one."""
    import torch

    if not torch.cuda.is_available():
        raise HostError("no GPU that torch can use", "the GPUs of a host to test", "Start it in a pod that holds them.")
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def load(on: Sequence[torch.device], seconds: float, size: int = SIZE) -> int:
    """Number of products that each device computed without a fault. Raises HostError for a result that is wrong."""
    import torch

    factors = [_factors(device, size) for device in on]
    expected = [left @ right for left, right in factors]
    for device, (left, right), product in zip(on, factors, expected, strict=True):
        exact = left[:CHECKED_ROWS].cpu().double() @ right.cpu().double()
        _refuse(device, torch.equal(product[:CHECKED_ROWS].cpu(), exact.to(product.dtype)), "a product")
    filled = [_fill(device) for device in on]
    rounds, end_s = 0, time.monotonic() + seconds
    while rounds == 0 or time.monotonic() < end_s:
        # All devices are at work before the first result is waited for.
        products = [left @ right for left, right in factors]
        for device, product, right_one in zip(on, products, expected, strict=True):
            _refuse(device, torch.equal(product, right_one), "a product under load")
        rounds += 1
    for device, blocks in zip(on, filled, strict=True):
        kept = all(bool((block == number).all()) for number, block in enumerate(blocks))
        _refuse(device, kept, "memory that was read back")
    return rounds


def _factors(device: torch.device, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    made = torch.Generator().manual_seed(0)
    left, right = (torch.randint(-1, 2, (size, size), generator=made).to(torch.bfloat16) for _ in range(2))
    return left.to(device), right.to(device)


def _fill(device: torch.device) -> list[torch.Tensor]:
    """Blocks of the device's free memory, each filled with its number."""
    import torch

    if device.type != "cuda":
        return []
    free, _ = torch.cuda.mem_get_info(device)
    blocks = int(free * MEMORY_SHARE) // BLOCK_BYTES
    return [torch.full((BLOCK_BYTES // 4,), number, dtype=torch.int32, device=device) for number in range(blocks)]


def _refuse(device: torch.device, right: bool, what: str) -> None:
    if not right:
        raise HostError(f"{device}: {what} that is wrong", "the same bits every time", REMEDY)
