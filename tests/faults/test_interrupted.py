"""Ctrl-C in the middle of `make up`."""

from __future__ import annotations

import os
import signal
import subprocess

from lab.paths import REPO


def interrupt_up() -> tuple[int, str]:
    """Run `make up` until its playbook runs, press Ctrl-C; returns the exit code and the output after it."""
    with subprocess.Popen(
        ["make", "up"],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "ansible: site.yml" in line:
                break
        os.killpg(run.pid, signal.SIGINT)
        output = run.stdout.read()
    return run.returncode, output


def test_an_interrupted_run_says_how_to_go_on_and_a_rerun_does() -> None:
    code, output = interrupt_up()
    assert code != 0
    assert "interrupted: `make up` goes on from here, `make down` removes what stands" in output
    assert "Traceback" not in output

    again = subprocess.run(["make", "up"], cwd=REPO, capture_output=True, text=True, check=False)

    assert again.returncode == 0, again.stdout + again.stderr
