"""Everything is killed at once, as by a power cut; the next `make up` continues from the disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable

import openai

from lab.hosts import podman
from lab.paths import REPO
from lab.shell import output

PATIENCE_S = 180


def test_up_brings_a_lab_back_whose_every_process_was_killed(
    client: openai.OpenAI, model: str, kubectl: Callable[..., str]
) -> None:
    cluster = kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    state = json.loads(output("podman", "inspect", *podman.containers()))
    for process in [c["State"]["ConmonPid"] for c in state] + [c["State"]["Pid"] for c in state]:
        os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while standing := [container for container in podman.containers() if podman.alive(container)]:
        assert time.monotonic() < deadline, standing
        time.sleep(1)

    done = subprocess.run(["make", "up"], cwd=REPO, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=4
    )
    assert answer.choices[0].message.content
    assert kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}") == cluster, "the same cluster"
