"""Checks before an engine starts, cheapest first: all that it would need a minute to find out by itself."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Mapping
from pathlib import Path

from qwen_runtime import weights
from qwen_runtime.engine.spec import ServingEngine
from qwen_runtime.errors import HostError, UsageError, WeightsError
from qwen_runtime.sizing import published


def check(
    engine: ServingEngine, model_dir: Path, *, max_model_len: int | None, ports: Mapping[str, int], full: bool
) -> weights.Manifest:
    """Raises what is wrong and returns the manifest of the verified weights. ports: each flag and its port."""
    for flag, other in itertools.combinations(ports, 2):
        if ports[flag] == ports[other]:
            raise UsageError(f"{flag} and {other} are both {ports[flag]}", "two different ports", "Change one of them.")
    if not model_dir.is_dir():
        raise UsageError(
            f"--model {model_dir} is not a directory", "the directory of a staged model", "Correct the path."
        )
    engine.check_installed()
    for flag, number in ports.items():
        _check_port(flag, number)
    manifest = weights.verify(model_dir, full=full)
    longest = longest_context(model_dir)
    if max_model_len is not None and max_model_len > longest:
        raise UsageError(
            f"--max-model-len {max_model_len}",
            f"at most {longest} tokens, the longest context by {model_dir / 'config.json'}",
            "Lower it, or serve a model with a longer context.",
        )
    return manifest


def longest_context(model_dir: Path) -> int:
    """The model's context in tokens, from its config.json."""
    config = model_dir / "config.json"
    try:
        return published.longest_context(published.read_object(config), str(config))
    except UsageError as error:
        raise WeightsError(error.found, error.needed, weights.STAGE_AGAIN) from error


def _check_port(flag: str, port: int) -> None:
    with socket.socket() as probe:
        # Servers set it too: connections of an earlier server that linger in TIME_WAIT are no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            raise HostError(
                f"{flag} {port} cannot be used ({error.strerror})",
                "a free port that this user may bind",
                f"End the process that holds it (ss -ltnp 'sport = :{port}'), or choose another port.",
            ) from error
