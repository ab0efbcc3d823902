"""Everything is killed at once, as by a power cut; the next `make up` continues from the disks.

Processes that started since have the numbers of those that were killed, as happens on a machine that went on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import openai

from lab.hosts import podman
from lab.paths import REPO
from lab.shell import output

PATIENCE_S = 180
LAST_NUMBER = Path("/proc/sys/kernel/ns_last_pid")


def test_up_brings_a_lab_back_whose_every_process_was_killed(
    client: openai.OpenAI, model: str, kubectl: Callable[..., str]
) -> None:
    cluster = kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    state = json.loads(output("podman", "inspect", *podman.containers()))
    for process in [c["State"]["ConmonPid"] for c in state] + [c["State"]["Pid"] for c in state]:
        os.kill(process, signal.SIGKILL)
    with ExitStack() as since:
        for container in state:
            since.enter_context(other_process(container["State"]["Pid"]))
        assert [container for container in podman.containers() if podman.alive(container)] == []

        done = subprocess.run(["make", "up"], cwd=REPO, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=4
    )
    assert answer.choices[0].message.content
    assert kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}") == cluster, "the same cluster"


@contextmanager
def other_process(number: int) -> Iterator[None]:
    """A process that has this number, as soon as the one is gone that had it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        LAST_NUMBER.write_text(str(number - 1))
        process = subprocess.Popen(["sleep", "infinity"])
        try:
            if process.pid == number:
                yield
                return
        finally:
            process.kill()
            process.wait()
        assert time.monotonic() < deadline, number
