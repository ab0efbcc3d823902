"""verify.yml tells whether hosts may serve: a report for each, the exit code the verdict, nothing left behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from lab.cluster import site, stack
from lab.paths import CONTROLLER_ENV, REPO

Reports = dict[str, dict[str, Any]]


def verify(reports: Path, **variables: Any) -> tuple[int, Reports]:
    extra = json.dumps({"acceptance_report_dir": str(reports), **variables})
    done = subprocess.run(
        [CONTROLLER_ENV / "bin/ansible-playbook", "-i", "inventory/local", "ansible/verify.yml", "-e", extra],
        cwd=REPO,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **site.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    by_host = {file.stem: json.loads(file.read_text()) for file in reports.glob("*.json")}
    assert by_host, done.stdout[-3000:]
    return done.returncode, by_host


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["status"] for check in report["checks"]}


def test_hosts_of_the_lab_pass_but_for_what_is_waived(tmp_path: Path, kubectl: Callable[..., str]) -> None:
    images = yaml.safe_load(stack.CONFIG.read_text())["config"]["qwen-onprem:images"]
    code, reports = verify(tmp_path, site_gpu_images=[images["runtime"]])
    assert code == 0, reports
    checks = statuses(reports["gpu1"])
    waived = {name for name, status in checks.items() if status == "waived"}
    # There is no CUDA device here and no limit that can be raised; the report must not claim them.
    assert waived == {"torch.cuda", "locked memory"}
    assert {checks[name] for name in checks.keys() - waived} == {"pass"}
    assert "driver in a container" in checks
    reduced = {host: next(c for c in r["checks"] if c["name"] == "all-reduce") for host, r in reports.items()}
    assert {host: check["found"].split(",")[0] for host, check in reduced.items()} == {"cp1": "gloo", "gpu1": "gloo"}
    assert "torch.cuda was not passed but waived" in (tmp_path / "gpu1.md").read_text()
    assert "acceptance" not in kubectl("get", "pods,services,configmaps", "--namespace", "default", "--output", "name")


def test_a_host_that_fails_a_check_fails_the_run_and_its_report_says_which(tmp_path: Path) -> None:
    code, reports = verify(tmp_path, acceptance_image="", acceptance_disk_min_gb_per_s=1e6)
    assert code != 0
    assert reports["gpu1"]["verdict"] == "fail"
    assert statuses(reports["gpu1"])["disk bandwidth"] == "fail"
