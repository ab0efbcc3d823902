"""The GPUs are fit to serve: the checks of verify.yml that need no pod, with its own script and judgement."""

from __future__ import annotations

import json
import sys

from testinfra.host import Host

from ..inventory import ROOT, Expected

ACCEPTANCE = ROOT / "ansible/roles/acceptance"
sys.path.insert(0, str(ACCEPTANCE / "filter_plugins"))


def test_no_check_fails_that_the_site_does_not_waive(host: Host, expected: Expected) -> None:
    from acceptance_assess_fabric import assess_fabric
    from acceptance_assess_gpus import assess_gpus
    from acceptance_judge import judge

    found = json.loads(host.check_output("python3 -c %s", (ACCEPTANCE / "files/inspect_gpus.py").read_text()))
    needed = expected["__acceptance_needed"]
    rows = judge(assess_gpus(found, needed) + assess_fabric(found, needed), expected["acceptance_waived"])
    assert rows or not expected["acceptance_gpus"]
    assert [row for row in rows if row["status"] == "fail"] == []
