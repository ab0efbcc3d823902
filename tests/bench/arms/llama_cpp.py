"""llama.cpp's own server and the quantised weights that the lab converts its model from, both made once and kept.

The source is the one inside the package llama-cpp-python; it is compiled for this very machine, which needs g++ for it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from lab import store
from lab.mirror import models
from lab.paths import REPO
from lab.shell import logged
from tests.bench.arms import machine
from tests.bench.arms.server import Server
from tests.support.ports import free_port

TOOLS_LOCK = REPO / "locks/bench.txt"
SOURCE_LOCK = REPO / "locks/bench-source.txt"
PIP = (sys.executable, "-m", "pip", "-q")
HASHED = ("--no-deps", "--require-hashes")
OPTIONS = ("CMAKE_BUILD_TYPE=Release", "BUILD_SHARED_LIBS=OFF", "LLAMA_BUILD_TESTS=OFF", "LLAMA_BUILD_EXAMPLES=OFF")
# Parts that would download during the build, or need a library only to fetch models.
OFFLINE = ("LLAMA_USE_PREBUILT_UI=OFF", "LLAMA_CURL=OFF", "LLAMA_OPENSSL=OFF")
SLOT_TOKENS = 256


def server() -> Path:
    made_from = store.key(TOOLS_LOCK, SOURCE_LOCK, *OPTIONS, *OFFLINE, machine.processor())
    return store.obtain("bench/llama.cpp", made_from, _build)[0] / "llama-server"


def weights(model: str) -> Path:
    lock = REPO / f"locks/models-{model}.txt"

    def fetch(into: Path) -> None:
        models.fetch(lock, into)

    folder, _ = store.obtain("bench/gguf", store.key(lock), fetch)
    [file] = folder.glob("*.gguf")  # llama.cpp reads the file of a one-part model directly
    return file


def start(name: str, model: str, streams: int, log: Path) -> Server:
    """Starts the server with one slot for each stream."""
    port = free_port()
    options = ["--model", weights(model), "--port", port, "--threads", 1, "--threads-batch", 1, "--no-webui"]
    options += ["--parallel", streams, "--ctx-size", streams * SLOT_TOKENS]
    return Server(name, log, port, model, options, server())


def _build(into: Path) -> None:
    print("compiling llama.cpp: about ten minutes on two cores, once", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        tools, source, build = Path(scratch, "tools"), Path(scratch, "source"), Path(scratch, "build")
        logged("bench", *PIP, "install", *HASHED, "--only-binary", ":all:", "-r", TOOLS_LOCK, "--target", tools)
        environment = {"PYTHONPATH": str(tools), "PATH": f"{tools / 'bin'}:{os.environ['PATH']}"}
        download = (*PIP, "download", *HASHED, "--no-build-isolation", "--no-binary", ":all:", "-r", SOURCE_LOCK)
        logged("bench", *download, "-d", source, env=environment)
        [archive] = source.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(source, filter="data")
        [tree] = source.glob("*/vendor/llama.cpp")
        settings = [f"-D{option}" for option in (*OPTIONS, *OFFLINE)]
        logged("bench", "cmake", "-G", "Ninja", "-S", tree, "-B", build, *settings, env=environment)
        logged("bench", "cmake", "--build", build, "--target", "llama-server", env=environment)
        shutil.copy2(build / "bin/llama-server", into)
