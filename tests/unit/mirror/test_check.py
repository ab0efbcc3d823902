"""`qwen-mirror check` names another content, signature or login than the site believes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mirror.item import Item
from tests.fakes.model_files import SHARDS
from tests.fakes.site_mirror import SiteMirror
from tests.support.asked_site import MODEL, Settings, fill


def test_a_model_that_lacks_one_file_is_named_with_the_file(
    mirror: SiteMirror, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = mirror.folder / "models" / MODEL / SHARDS[0]
    content = shard.read_bytes()
    shard.unlink()
    assert settings.check("--kind", "model") == 1
    assert f"model {MODEL} {shard.name}" in capsys.readouterr().out
    shard.write_bytes(content[:-1])
    assert settings.check("--kind", "model") == 1
    assert f"found:  {len(content) - 1} bytes" in capsys.readouterr().out
    shard.write_bytes(content)
    assert settings.check("--kind", "model") == 0


def test_a_manifest_that_the_site_does_not_vouch_for_is_named(
    mirror: SiteMirror, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = mirror.folder / "models" / MODEL / "manifest.json"
    good = manifest.read_text()
    manifest.write_text(good + "\n")
    assert settings.check("--kind", "model") == 1
    manifest.write_text(good)
    assert "a manifest with sha256:" in capsys.readouterr().out


def test_lists_signed_by_another_key_are_refused(
    mirror: SiteMirror, settings: Settings, listed: list[Item], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, listed)
    release = mirror.folder / "apt/dists/jammy/InRelease"
    release.write_text(release.read_text().replace("Suite: jammy", "Suite: jammx"))
    assert settings.check("--kind", "apt") == 1
    out = capsys.readouterr().out
    assert "apt jammy\n" in out
    assert "missing: 1;" in out


def test_dependencies_are_looked_for_where_a_hosts_status_is_given(
    mirror: SiteMirror, settings: Settings, listed: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, listed)
    status = tmp_path / "status"
    status.write_text("")
    arguments = ("--kind", "apt", "--status", f"noble={status}")
    assert settings.check(*arguments) == 1
    out = capsys.readouterr().out
    assert "apt noble kubeadm=1.34.4-1.1" in out
    assert "dependency-of-kubeadm" in out
    status.write_text(
        "Package: dependency-of-kubeadm\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"
        "Maintainer: nobody <nobody@example.internal>\nDescription: on every host\n"
    )
    assert settings.check(*arguments) == 0


def test_a_package_that_every_host_brings_need_not_be_there(
    mirror: SiteMirror, settings: Settings, listed: list[Item], tmp_path: Path
) -> None:
    """`fill --status` leaves it out. One with a pinned version is asked for all the same."""
    fill(mirror, [item for item in listed if (item.group, item.name) != ("noble", "openssl")])
    status = tmp_path / "status"
    stanza = "Package: {}\nStatus: install ok {}\nVersion: 1\nArchitecture: amd64\n\n"
    status.write_text(stanza.format("dependency-of-kubeadm", "installed") + stanza.format("openssl", "not-installed"))
    arguments = ("--kind", "apt", "--status", f"noble={status}")
    assert settings.check(*arguments) == 1
    status.write_text(status.read_text().replace("not-installed", "installed"))
    assert settings.check(*arguments) == 0
    fill(mirror, [item for item in listed if (item.group, item.name) != ("noble", "kubelet")])
    status.write_text(status.read_text() + stanza.format("kubelet", "installed"))
    assert settings.check(*arguments) == 1


def test_a_login_that_the_registry_does_not_take_is_named(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("vault_registry_password: wrong\n")
    assert settings.check("--kind", "image", "--extra-vars", str(wrong)) == 1
    assert "unauthorized" in capsys.readouterr().out


def test_a_registry_password_in_a_closed_vault_is_refused(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load(settings.values.read_text())
    del values["vault_registry_password"]
    (tmp_path / "values.yml").write_text(yaml.safe_dump(values))
    assert replace(settings, values=tmp_path / "values.yml").check("--kind", "image") == 2
    assert "give the vault's password" in capsys.readouterr().err
