"""Judges what a container gets from the host: the driver, and memory that it may lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.rows import Row, row

UNLIMITED = -1
NO_ANSWER = "the pod ended without an answer"


def assess_containers(found: Mapping[str, Any], needed: Mapping[str, Any]) -> list[Row]:
    """Rows of the container's checks; none where no pod was run.

    found:  under `torch` the answer of torch_devices.py
    needed: __acceptance_needed of vars/main.yml
    """
    return [*_rows(found["torch"], needed)] if "torch" in found else []


def _rows(answer: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    driver = answer.get("driver", {"devices": 0, "error": answer.get("error", NO_ANSWER)})
    yield row(
        "driver in a container",
        driver["devices"] == needed["free_gpus"],
        driver.get("error", f"{driver['devices']} GPUs"),
        f"libcuda.so.1 with {needed['free_gpus']} GPUs",
        "See that acceptance_runtime_class names the class of NVIDIA's runtime (kubectl get runtimeclass), "
        "and that the host describes its GPUs to it (nvidia-ctk cdi list).",
    )
    least = needed["locked_memory_min_mib"]
    if least:
        limit = answer.get("locked_memory_bytes", 0)
        yield row(
            "locked memory",
            limit == UNLIMITED or (least != UNLIMITED and limit >= least << 20),
            _amount(limit) if "locked_memory_bytes" in answer else answer.get("error", NO_ANSWER),
            _amount(least if least == UNLIMITED else least << 20),
            "Raise container_runtime_locked_memory and run the role: later containers inherit it.",
        )


def _amount(size_bytes: int) -> str:
    return "unlimited" if size_bytes == UNLIMITED else f"{size_bytes / 2**20:g} MiB"


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"acceptance_assess_containers": assess_containers}
