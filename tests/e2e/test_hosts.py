"""The rack's hosts behave like separate machines, as far as one kernel allows."""

from __future__ import annotations

from lab.hosts import inventory, rack
from lab.shell import output

FIND_PODS = ("find", "/sys/fs/cgroup/", "-path", "*kubepods*", "-name", "pod*", "-printf", "%f\n")
CERTIFIED_AT = ("stat", "--dereference", "--format=%Y", "/var/lib/kubelet/pki/kubelet-client-current.pem")
BEGAN_AT = ("systemctl", "show", "kubelet", "--property=ActiveEnterTimestamp", "--value", "--timestamp=unix")


def test_no_host_sees_the_pods_of_another() -> None:
    """A kubelet removes containers that it does not know."""
    seen = {host: set(output("podman", "exec", rack.PREFIX + host, *FIND_PODS).split()) for host in inventory.hosts()}
    assert all(seen.values())
    assert sum(map(len, seen.values())) == len(set.union(*seen.values()))


def test_kubelets_began_with_their_certificates() -> None:
    """A kubelet that began without is refused at first, and starts kube-proxy ten seconds late."""
    for host in inventory.hosts():
        on_host = ("podman", "exec", rack.PREFIX + host)
        certified, began = output(*on_host, *CERTIFIED_AT), output(*on_host, *BEGAN_AT)
        assert int(certified) <= int(began.strip().removeprefix("@"))
