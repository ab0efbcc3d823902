"""Keys of the cluster are readable by root alone, on the host and on the controller."""

from __future__ import annotations

from pathlib import Path

import pytest
from testinfra.host import Host

from ..inventory import Expected


@pytest.mark.parametrize("path", ["/etc/kubernetes/admin.conf", "/etc/kubernetes/pki/ca.key"])
def test_key_is_roots_alone(host: Host, path: str) -> None:
    file = host.file(path)
    assert file.user == "root"
    assert file.mode == 0o600


def test_kubeconfig_on_the_controller_is_the_owners_alone(expected: Expected) -> None:
    path = Path(expected["kubernetes_kubeconfig_path"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"server: https://{expected['kubernetes_api_endpoint']}" in path.read_text()
