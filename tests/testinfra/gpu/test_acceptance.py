"""The GPUs are fit to serve: the checks of verify.yml that need no pod, with its own script and judgement."""

from __future__ import annotations

import json

from ansible_collections.qwen_onprem.hosts.plugins.filter.acceptance_assess_fabric import assess_fabric
from ansible_collections.qwen_onprem.hosts.plugins.filter.acceptance_assess_gpus import assess_gpus
from ansible_collections.qwen_onprem.hosts.plugins.filter.acceptance_judge import judge
from testinfra.host import Host

from ..inventory import ROOT, Expected

ACCEPTANCE = ROOT / "ansible/roles/acceptance"


def test_no_check_fails_that_the_site_does_not_waive(host: Host, expected: Expected) -> None:
    answer = json.loads(host.check_output("python3 -c %s", (ACCEPTANCE / "files/inspect_gpus.py").read_text()))
    needed = expected["__acceptance_needed"]
    rows = judge(assess_gpus(answer, needed) + assess_fabric(answer, needed), expected["acceptance_waived"])
    assert rows or not expected["acceptance_gpus"]
    assert [row for row in rows if row["status"] == "fail"] == []
