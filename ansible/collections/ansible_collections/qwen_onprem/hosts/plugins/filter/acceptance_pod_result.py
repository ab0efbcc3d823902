"""Reads the result of a pod that runs one script."""

from __future__ import annotations

import json
from typing import Any


def pod_result(pod: str, log: str) -> dict[str, Any]:
    """The JSON object in the pod's last line, {"error": why} if the pod did not succeed, empty if it printed none.

    pod: the pod as kubectl prints it in JSON, empty where it could not be asked for
    log: what the pod printed
    """
    if not pod:
        return {"error": "the pod could not be made: kubectl failed on the control plane"}
    status = json.loads(pod)["status"]
    lines = log.strip().splitlines()
    if status["phase"] == "Succeeded":
        last = lines[-1] if lines else ""
        return json.loads(last) if last.startswith("{") else {}
    reasons = [c["message"] for c in status.get("conditions", []) if c["status"] == "False" and c.get("message")]
    messages = lines[-1:] if status["phase"] == "Failed" else reasons
    return {"error": f"the pod is {status['phase']}: {'; '.join(messages) or status.get('message', 'no reason given')}"}


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"acceptance_pod_result": pod_result}
