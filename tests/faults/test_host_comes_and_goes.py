"""A GPU host joins a cluster that serves, loses its power, is replaced and leaves; other hosts are not touched.

The commands are those of docs/operate/hosts.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from lab.cluster import site, stack
from lab.hosts import rack
from lab.paths import CONTROLLER_ENV, REPO
from lab.shell import attempt, output
from tests.support.load import Load, repeated
from tests.support.waiting import wait_for_engine, wait_until

NAME = "gpu2"
LABEL = "app.kubernetes.io/name=model-server"
ASKERS = 4
NOT_READY_S = 90  # the cluster takes a node for dead forty seconds after its last sign of life
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)

Kubectl = Callable[..., str]


def power_on(inventory: Path) -> None:
    """Boot the host, on its old disk or as a new one, and write its address to the inventory."""
    address = rack.ensure_scratch([NAME], with_gpus={NAME: "h100"})[NAME]
    inventory.write_text(json.dumps({"gpu": {"hosts": {NAME: {"ansible_host": address}}}}))


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory, kubectl: Kubectl) -> Iterator[Path]:
    """Inventory file that the operator adds to the rack's: one more GPU host."""
    file = tmp_path_factory.mktemp("site") / "more.yml"
    power_on(file)
    yield file
    rack.remove_scratch([NAME])
    kubectl("delete", "node", NAME, "--ignore-not-found")
    # The other hosts no longer let its address in.
    play(None, "site.yml", "--tags", "hardening")


def play(extra: Path | None, book: str, *arguments: str) -> tuple[int, str, dict[str, int]]:
    """Run a playbook; returns its exit code, its text, and the number of changed tasks by host."""
    done = attempt(
        *(CONTROLLER_ENV / "bin/ansible-playbook", "-i", "inventory/local", *(("-i", extra) if extra else ())),
        *(f"ansible/{book}", *arguments),
        env={**site.environment(), "SITE_ROOT": str(REPO)},
        cwd=REPO,
    )
    changed = {host: int(count) for host, count in RECAP.findall(done.stdout)}
    return done.returncode, " ".join((done.stdout + done.stderr).split()), changed


def replicas(kubectl: Kubectl) -> dict[str, str]:
    """Hosts of the model servers' pods that are ready, by pod."""
    ready = "{range .items[?(@.status.containerStatuses[0].ready)]}{.metadata.name}={.spec.nodeName} {end}"
    found = kubectl("get", "pods", "-n", stack.NAMESPACE, "-l", LABEL, "-o", f"jsonpath={ready}")
    return {pod: host for pod, _, host in (line.partition("=") for line in found.split())}


def move_a_replica(kubectl: Kubectl) -> None:
    """Have one replica start again: the scheduler puts it on the host that has none."""
    moved = next(iter(replicas(kubectl)))
    kubectl("delete", "pod", "-n", stack.NAMESPACE, moved)
    wait_for_engine(lambda: len(replicas(kubectl).keys() - {moved}) == 2, "the moved replica's start")
    assert NAME in replicas(kubectl).values()


def nodes(kubectl: Kubectl) -> set[str]:
    return set(kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split())


def serve(client: openai.OpenAI, model: str) -> None:
    message = {"role": "user", "content": "Say hello."}
    assert client.chat.completions.create(model=model, messages=[message], max_tokens=4).choices  # type: ignore[list-item]


def test_1_a_new_host_joins_by_a_run_for_it_alone(inventory: Path, kubectl: Kubectl) -> None:
    code, text, changed = play(inventory, "site.yml", "--limit", NAME)
    assert code == 0, text[-5000:]
    assert set(changed) == {NAME}
    assert "Left out, and as they were before: cp1, gpu1" in text
    offered = kubectl("get", "node", NAME, "-o", r"jsonpath={.status.allocatable.nvidia\.com/gpu}")
    assert offered == "8"
    code, text, changed = play(inventory, "site.yml", "--limit", NAME)
    assert (code, changed) == (0, {NAME: 0}), text[-5000:]


def test_2_a_host_that_loses_its_power_costs_only_what_it_was_answering(
    inventory: Path, kubectl: Kubectl, client: openai.OpenAI, model: str
) -> None:
    """One of two replicas dies with its host: no more fails than was on its way there, and what comes later goes on."""
    move_a_replica(kubectl)
    asks = Load(openai.OpenAIError, httpx2.HTTPError)

    def ask() -> None:
        serve(client, model)

    with repeated(*[asks.counted(ask)] * ASKERS):
        wait_until(lambda: asks.succeeded.total() >= ASKERS, "answers before the loss")
        output("podman", "kill", rack.PREFIX + NAME)
        kubectl("wait", "--for=condition=Ready=Unknown", f"node/{NAME}", f"--timeout={NOT_READY_S}s")
        lost = list(asks.failures)
        before = asks.succeeded.total()
        wait_until(lambda: asks.succeeded.total() >= before + 4 * ASKERS, "answers after the loss")
    assert len(lost) <= ASKERS, lost
    assert asks.failures == lost, "a host that is known to be dead is not asked"


def test_3_a_run_names_a_host_that_lost_its_power_and_goes_on_without_it(
    inventory: Path, client: openai.OpenAI, model: str
) -> None:
    code, text, _ = play(inventory, "site.yml")
    assert code != 0
    assert f"Found no answer from {NAME}" in text
    assert f"with --limit '!{NAME}'" in text

    code, text, changed = play(inventory, "site.yml", "--limit", f"!{NAME}")
    assert code == 0, text[-5000:]
    assert set(changed) == {"cp1", "gpu1"}
    assert f"Left out, and as they were before: {NAME}." in text
    serve(client, model)


def test_4_a_host_that_is_lost_leaves_only_when_it_is_called_so(inventory: Path, kubectl: Kubectl) -> None:
    code, text, _ = play(inventory, "remove_host.yml", "--limit", NAME)
    assert code != 0
    assert "add --extra-vars kubernetes_host_lost=true" in text
    assert NAME in nodes(kubectl)

    kubectl("wait", "--for=condition=Ready=Unknown", f"node/{NAME}", f"--timeout={NOT_READY_S}s")
    code, text, _ = play(inventory, "remove_host.yml", "--limit", NAME, "--extra-vars", "kubernetes_host_lost=true")
    assert code == 0, text[-5000:]
    assert NAME not in nodes(kubectl)

    code, text, _ = play(inventory, "remove_host.yml", "--limit", NAME, "--extra-vars", "kubernetes_host_lost=true")
    assert code != 0
    assert f"Found no node {NAME} in the cluster, which has cp1, gpu1" in text


def test_5_another_machine_takes_its_place_under_its_name(inventory: Path, kubectl: Kubectl) -> None:
    rack.remove_scratch([NAME])
    power_on(inventory)
    code, text, changed = play(inventory, "site.yml", "--limit", NAME)
    assert code == 0, text[-5000:]
    assert set(changed) == {NAME}
    kubectl("wait", "--for=condition=Ready", f"node/{NAME}", "--timeout=60s")


def test_6_a_host_that_is_well_leaves_emptied_and_clean(
    inventory: Path, kubectl: Kubectl, client: openai.OpenAI, model: str
) -> None:
    code, text, changed = play(inventory, "remove_host.yml", "--limit", NAME)
    assert code == 0, text[-5000:]
    assert set(changed) == {NAME}
    assert nodes(kubectl) == {"cp1", "gpu1"}
    assert not kubectl("get", "pods", "-A", "--field-selector", f"spec.nodeName={NAME}", "-o", "name")
    left = "ls /etc/kubernetes/*.conf /etc/cni/net.d/*; ip -br link show type bridge; iptables-save | grep KUBE-"
    assert not output("podman", "exec", rack.PREFIX + NAME, "sh", "-c", f"{left}; true").strip()
    serve(client, model)


@pytest.mark.parametrize(
    ("limit", "refusal"),
    [
        ((), "Found a run for 2 hosts (cp1, gpu1); needed one"),
        (("--limit", "cp1"), "Found no other host of the control plane than cp1"),
    ],
)
def test_7_the_cluster_keeps_what_it_cannot_do_without(limit: tuple[str, ...], refusal: str) -> None:
    code, text, changed = play(None, "remove_host.yml", *limit)
    assert code != 0
    assert refusal in text
    assert not any(changed.values())
