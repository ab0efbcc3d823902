"""The serving stack: the real Pulumi engine on the cluster, with the committed stack file and the lab's secrets."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from typing import Any

import yaml

from lab.mirror import client
from lab.paths import API_KEY, BIN, CONTROLLER_ENV, KUBECONFIG, LAB, REPO
from lab.progress import LAST_LINE
from lab.shell import logged, output

STACK = "local"
PROGRAM = REPO / "pulumi"
HOME = LAB / "pulumi"
CONFIG = HOME / "Pulumi.local.yaml"
STATE = HOME / "state"
CHECKPOINT = STATE / f".pulumi/stacks/qwen-onprem/{STACK}.json"


def committed() -> dict[str, Any]:
    """The committed stack file; its `config` holds the settings of the program."""
    stack_file: dict[str, Any] = yaml.safe_load((PROGRAM / "Pulumi.local.yaml").read_text())
    return stack_file


NAMESPACE: str = committed()["config"]["qwen-onprem:namespace"]


def environment() -> dict[str, str]:
    STATE.mkdir(parents=True, exist_ok=True)
    return {
        # The program's language host takes the first python on PATH.
        "PATH": f"{CONTROLLER_ENV}/bin:{BIN}:{os.environ['PATH']}",
        "KUBECONFIG": str(KUBECONFIG),
        "PULUMI_HOME": str(HOME / "home"),
        "PULUMI_BACKEND_URL": f"file://{STATE}",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }


def api_key() -> str:
    """The lab user's key, made once."""
    if not API_KEY.exists():
        with os.fdopen(os.open(API_KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"sk-{secrets.token_urlsafe(24)}\n")
    return API_KEY.read_text().strip()


def configure(images: dict[str, str], model: dict[str, object]) -> None:
    """Write a copy of the committed stack file with the lab's secrets, image digests and chosen model in it."""
    HOME.mkdir(parents=True, exist_ok=True)
    stack_file = committed()
    kept = yaml.safe_load(CONFIG.read_text()) if CONFIG.exists() else {}
    settings = stack_file["config"]
    settings["qwen-onprem:images"] = {**settings.get("qwen-onprem:images", {}), **images}
    first, *others = settings["qwen-onprem:models"]
    # Hosts hold the weights of the chosen model only.
    shared = [other for other in others if other["name"] == model["name"]]
    settings["qwen-onprem:models"] = [{**first, **model}, *shared]
    if "encryptionsalt" in kept:
        stack_file["encryptionsalt"] = kept["encryptionsalt"]
    # A secret's ciphertext differs each time it is written: keep the present one.
    settings |= {key: kept["config"][key] for key in map(_key, _secrets()) if key in kept.get("config", {})}
    partial = CONFIG.with_suffix(".partial")
    partial.write_text(yaml.safe_dump(stack_file, sort_keys=False))
    partial.rename(CONFIG)
    if not (CHECKPOINT.exists() and "encryptionsalt" in stack_file):
        # This command writes the stack's salt into the stack file beside the project file: here, into the copy.
        shutil.copy(PROGRAM / "Pulumi.yaml", HOME)
        output(BIN / "pulumi", "stack", "select", "--create", STACK, "--non-interactive", cwd=HOME, env=environment())
    for name, value in _secrets().items():
        if _key(name) not in settings:
            pulumi("config", "set", "--secret", name, json.dumps(value))


def _secrets() -> dict[str, Any]:
    login = {"user": client.REGISTRY_USER, "password": client.REGISTRY_PASSWORD.read_text()}
    return {"apiKeys": {"lab": api_key()}, "engineKeys": [secrets.token_urlsafe(32)], "registryLogin": login}


def _key(name: str) -> str:
    """Name of a setting in the stack file."""
    return f"qwen-onprem:{name}"


def up() -> tuple[bool, str | None]:
    """`pulumi up`; returns whether anything changed, and the step's result."""
    _recover()
    text = logged(
        "pulumi", BIN / "pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--color", "never",
        "--stack", STACK, "--config-file", CONFIG, cwd=PROGRAM, env=environment(), progress=LAST_LINE,
    )  # fmt: skip
    changes = [line.strip() for line in text.splitlines() if line.strip().startswith(("+ ", "~ ", "- ", "+-"))]
    totals = [c for c in changes if c.split()[1].isdigit()]
    return bool(totals), ", ".join(totals) or None


def wait() -> None:
    """Wait until every deployment has all its replicas; pulumi waits only for those that it changes."""
    kubectl = (BIN / "kubectl", "--kubeconfig", KUBECONFIG, "--namespace", NAMESPACE)
    incomplete = [
        f"deployment/{deployment['metadata']['name']}"
        for deployment in json.loads(output(*kubectl, "get", "deployments", "-o", "json"))["items"]
        if not _complete(deployment)
    ]
    for deployment in incomplete:
        logged("pulumi", *kubectl, "rollout", "status", deployment, "--timeout", "600s", progress=LAST_LINE)


def _complete(deployment: dict[str, Any]) -> bool:
    """Whether all replicas of the present description run and none of an earlier one, as `rollout status` judges it."""
    status, wanted = deployment["status"], deployment["spec"]["replicas"]
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and {wanted} == {
        status.get(count, 0) for count in ("replicas", "updatedReplicas", "availableReplicas")
    }


def _recover() -> None:
    """Take over from a run that was interrupted: release its lock, adopt the objects that it was creating."""
    if any((STATE / ".pulumi/locks").rglob("*.json")):
        pulumi("cancel", "--yes")
    latest = json.loads(CHECKPOINT.read_text())["checkpoint"].get("latest") or {}
    if not latest.get("pending_operations"):
        return
    state = pulumi("stack", "export")
    taken_over = HOME / "taken-over.json"
    done = subprocess.run(
        [sys.executable, "-m", "qwen_stack.adopt"], cwd=PROGRAM, input=state, text=True, capture_output=True, check=True
    )
    taken_over.write_text(done.stdout)
    pulumi("stack", "import", "--file", str(taken_over))
    pulumi("refresh", "--yes", "--skip-preview")


def preview_is_empty() -> bool:
    """Whether `pulumi preview` finds nothing to change."""
    text = pulumi("preview", "--json")
    summary = json.loads(text)["changeSummary"]
    return set(summary) <= {"same"}


def pulumi(*arguments: str) -> str:
    located = ("--stack", STACK) + (() if arguments[0] in ("stack", "cancel") else ("--config-file", str(CONFIG)))
    return output(BIN / "pulumi", *arguments, "--non-interactive", *located, cwd=PROGRAM, env=environment())
