"""A host that does not answer is named before anything is changed, and one that is left out when all is done."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .refusals import ANSIBLE, LOCAL, refused

OFF = {"ansible_host": "127.0.0.1", "ansible_port": 1}  # where nothing listens


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """site.yml's first and last play, for two hosts that answer and one that is off; returns exit code and output."""
    hosts = {"control1": LOCAL, "dgx1": LOCAL, "dgx2": OFF}
    (folder / "hosts.yml").write_text(json.dumps({"cluster": {"hosts": hosts}}))
    plays = [{"ansible.builtin.import_playbook": str(ANSIBLE / name)} for name in ("answering.yml", "left_out.yml")]
    (folder / "play.yml").write_text(json.dumps(plays))
    done = subprocess.run(
        ["ansible-playbook", "-i", folder / "hosts.yml", folder / "play.yml", *arguments],
        env={**os.environ, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "ANSIBLE_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("limit", "remedy"), [((), "--limit '!dgx2'"), (("--limit", "dgx1,dgx2"), "--limit 'dgx1,dgx2:!dgx2'")]
)
def test_a_host_that_does_not_answer_is_named_with_the_way_on(
    tmp_path: Path, limit: tuple[str, ...], remedy: str
) -> None:
    code, output = run(tmp_path, *limit)
    assert code != 0
    assert "Found no answer from dgx2 (" in output
    assert remedy in output


def test_a_run_without_it_goes_on_and_ends_with_its_name(tmp_path: Path) -> None:
    code, output = run(tmp_path, "--limit", "!dgx2")
    assert code == 0, output
    assert "This run was for control1, dgx1. Left out, and as they were before: dgx2." in output


def evaluated(folder: Path, role: str, expression: str, case: dict[str, Any]) -> str:
    """Value of a role's expression in a run for dgx1 alone, at a site that has dgx2 as well."""
    tasks = [
        {"ansible.builtin.import_role": {"name": role}, "when": False},
        {"ansible.builtin.fail": {"msg": f"{{{{ {expression} }}}}"}},
    ]
    return refused(folder, tasks, {"dgx1": case}, {"dgx2": case})["dgx1"]


def test_a_host_alone_reduces_with_nobody(tmp_path: Path) -> None:
    case = {"acceptance_all_reduce_hosts": ["dgx1", "dgx2"]}
    assert evaluated(tmp_path, "acceptance", "__acceptance_reduces | string", case) == "False"


def test_a_host_alone_takes_its_weights_from_the_mirror(tmp_path: Path) -> None:
    case = {"weights_neighbours": ["dgx1", "dgx2"]}
    assert evaluated(tmp_path, "weights", "__weights_neighbours | join(' ')", case) == "dgx1"


def test_a_run_for_one_role_refuses_a_row_of_nvidias_software_that_is_not_in_the_table(tmp_path: Path) -> None:
    """The role's own variables depend on the row: without this they end in an error of the template."""
    variables = {"preflight_nvidia_stack": "cuda-12.9", "preflight_nvidia_stacks": ["cuda-13.0", "cuda-12.8"]}
    variables |= {"cuda_version": "{{ site_nvidia.cuda }}", "site_nvidia": {}}
    hosts = {"cluster": {"children": {"gpu": {"hosts": {"dgx1": LOCAL | variables}}}}}
    (tmp_path / "hosts.yml").write_text(json.dumps(hosts))
    done = subprocess.run(
        ["ansible-playbook", "-i", tmp_path / "hosts.yml", ANSIBLE / "hosts.yml", "--tags", "cuda"],
        env={**os.environ, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    expected = 'Found the row "cuda-12.9" for dgx1, needed one of cuda-13.0, cuda-12.8.'
    assert expected in " ".join(done.stdout.split()), done.stdout
