"""A host that belongs to another cluster is named and left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cluster import site
from lab.hosts import rack
from lab.paths import CONTROLLER_ENV, REPO
from lab.shell import attempt, output

NAME = "stranger"
KUBELET = "/etc/kubernetes/kubelet.conf"
AUTHORITY = "/etc/kubernetes/pki/ca.crt"
STATE = "find /etc/kubernetes -type f -exec sha256sum {} + | sort; dpkg -l | md5sum"


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Path]:
    """Inventory of one more host of the rack, which is already a node of another cluster."""
    address = rack.ensure_scratch([NAME], with_gpus={})[NAME]
    _on_stranger(f"mkdir -p /etc/kubernetes/pki && echo theirs | tee {KUBELET} {AUTHORITY}")
    inventory = tmp_path / "stranger.yml"
    inventory.write_text(f"cluster: {{hosts: {{{NAME}: {{ansible_host: {address}}}}}}}\n")
    yield inventory
    rack.remove_scratch([NAME])


def _on_stranger(command: str) -> str:
    return output("podman", "exec", rack.PREFIX + NAME, "sh", "-c", command)


def test_a_node_of_another_cluster_is_refused_and_keeps_its_files(stranger: Path) -> None:
    before = _on_stranger(STATE)
    done = attempt(
        *(CONTROLLER_ENV / "bin/ansible-playbook", "-i", "inventory/local", "-i", stranger, "ansible/site.yml"),
        *("--tags", "kubernetes", "--limit", f"control_plane,{NAME}"),
        env={**site.environment(), "SITE_ROOT": str(REPO)},
        cwd=REPO,
    )
    assert done.returncode != 0
    message = " ".join(done.stdout.split())
    assert f"Found {KUBELET} on {NAME} from a cluster whose authority is" in message
    assert 'run "kubeadm reset --force" on it and start again' in message
    assert _on_stranger(STATE) == before
