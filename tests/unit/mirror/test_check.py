"""`qwen-mirror check` names whatever a mirror lacks, by asking it alone; `vouch` signs the digests that it has."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from qwen_runtime import signature

from images import provenance
from mirror.command import main
from mirror.item import KINDS, Item
from mirror.needs.images import BUILT
from mirror.needs.items import needed
from mirror.site import Site
from mirror.upstream import Upstream
from mirror.vouch import images as vouched
from tests.fakes import site_mirror
from tests.fakes.site_mirror import SiteMirror

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "inventory/example"
MODEL = "qwen3-coder-480b-a35b-instruct-fp8"
OWN = ("runtime", "prometheus", "alertmanager")


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteMirror]:
    with site_mirror.serve(tmp_path_factory.mktemp("mirror")) as served:
        yield served


@pytest.fixture(scope="module")
def settings(mirror: SiteMirror, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Files that make the example's site one whose mirror this is: its stack file, and values over the inventory's."""
    folder = tmp_path_factory.mktemp("site")
    address = f"127.0.0.1:{mirror.port}"
    names = {name: f"qwen-onprem/{name}" for name in OWN} | {"gateway": "envoyproxy/envoy"}
    images = {name: f"{address}/{path}@{mirror.registry.add_image(path)}" for name, path in names.items()}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"config": {"qwen-onprem:images": images}}))
    manifest = _model(mirror.folder / "models" / MODEL)
    values = {
        "site_registry": address,
        "site_mirror_url": f"https://{address}",
        "site_ca_file": str(mirror.authority),
        "base_apt_key_file": str(mirror.key),
        "site_gpu_images": [images["runtime"]],
        "site_model_manifests": {MODEL: manifest},
        "vault_registry_password": site_mirror.PASSWORD,
    }
    (folder / "values.yml").write_text(yaml.safe_dump(values))
    return {"stack": folder / "Pulumi.yaml", "extra_vars": [folder / "values.yml"]}


def _model(folder: Path) -> str:
    """A model of two files; returns the digest of its manifest."""
    folder.mkdir(parents=True)
    for name in ("config.json", "model-00001-of-00001.safetensors"):
        (folder / name).write_text(name)
    files = [{"path": file.name, "size": file.stat().st_size} for file in sorted(folder.iterdir())]
    (folder / "manifest.json").write_text(json.dumps({"files": files}))
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def listed(settings: dict[str, Any]) -> list[Item]:
    return needed(Site(EXAMPLE, **settings))


def fill(mirror: SiteMirror, items: list[Item]) -> None:
    """Give the mirror exactly these items; the images that the stack names by digest stay."""
    mirror.write_apt(item for item in items if item.kind == "apt")
    for name in [name for name in mirror.registry.manifests if "qwen-onprem" not in name]:
        del mirror.registry.manifests[name]
    for item in items:
        if item.kind == "image" and "qwen-onprem" not in item.name:
            mirror.registry.add_image(repository(item) if item.digest else item.name)
    wheels = (f"{re.sub('[-.]', '_', i.name)}-{i.version}-py3-none-any.whl" for i in items if i.kind == "wheel")
    for folder, names in {"wheels": wheels, "tools": (i.name for i in items if i.kind == "tool")}.items():
        (mirror.folder / folder).mkdir(exist_ok=True)
        for file in (mirror.folder / folder).iterdir():
            file.unlink()
        for name in names:
            (mirror.folder / folder / name).write_text("content")


def check(settings: dict[str, Any], *arguments: str) -> int:
    options = ["--stack", settings["stack"], "--extra-vars", settings["extra_vars"][0]]
    return main(["check", str(EXAMPLE), *map(str, options), *arguments])


def test_a_mirror_with_everything_lacks_nothing(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, listed)
    assert check(settings) == 0, capsys.readouterr().out
    assert f"missing: 0; asked for: {len(listed)}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("key", "model")])
def test_whatever_is_taken_away_is_named(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    gone = random.choice([item for item in listed if item.kind == kind and "qwen-onprem" not in item.name])
    fill(mirror, [item for item in listed if (item.kind, item.name) != (kind, gone.name)])
    assert check(settings, "--kind", kind) == 1, gone
    out = capsys.readouterr().out
    assert gone.name in out
    named = {line.split()[-1].partition("=")[0] for line in out.splitlines() if line.startswith(kind)}
    assert named == {gone.name}, "nothing else is missing"
    assert re.search(r"^  found:  .+\n  needed: .+\n  remedy: .+", out, re.MULTILINE)


def test_the_key_that_hosts_are_given_is_named_where_it_is_missing(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tmp_path / "absent.yml"
    absent.write_text(yaml.safe_dump({"base_apt_key_file": str(tmp_path / "apt-key.asc")}))
    assert check(settings, "--kind", "key", "--extra-vars", str(absent)) == 1
    assert f"found:  no file {tmp_path}/apt-key.asc" in capsys.readouterr().out


def test_an_upgrade_and_the_way_back_are_asked_for_by_the_versions_of_the_other_release(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "versions.yml"
    other.write_text((ROOT / "versions.yml").read_text().replace("1.34.4", "1.34.3"))
    site = Site(EXAMPLE, stack=settings["stack"], extra_vars=settings["extra_vars"], versions=other)
    needs = needed(site, upstream=Upstream(other))
    new = [item for item in needs if item not in listed]
    fill(mirror, listed)
    assert check(settings, "--versions", str(other)) == 1
    missing = {line for line in capsys.readouterr().out.splitlines() if line.startswith(("apt ", "image "))}
    assert missing == {item.label for item in new}
    assert {"apt", "image"} == {item.kind for item in new}
    fill(mirror, [*listed, *new])
    assert check(settings) == check(settings, "--versions", str(other)) == 0


def test_a_model_that_lacks_one_file_is_named_with_the_file(
    mirror: SiteMirror, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shard = mirror.folder / "models" / MODEL / "model-00001-of-00001.safetensors"
    content = shard.read_text()
    shard.unlink()
    assert check(settings, "--kind", "model") == 1
    assert f"model {MODEL} {shard.name}" in capsys.readouterr().out
    shard.write_text(content[:-1])
    assert check(settings, "--kind", "model") == 1
    assert f"found:  {len(content) - 1} bytes" in capsys.readouterr().out
    shard.write_text(content)
    assert check(settings, "--kind", "model") == 0


def test_a_manifest_that_the_site_does_not_vouch_for_is_named(
    mirror: SiteMirror, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = mirror.folder / "models" / MODEL / "manifest.json"
    good = manifest.read_text()
    manifest.write_text(good + "\n")
    assert check(settings, "--kind", "model") == 1
    manifest.write_text(good)
    assert "a manifest with sha256:" in capsys.readouterr().out


def test_lists_signed_by_another_key_are_refused(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, listed)
    release = mirror.folder / "apt/dists/jammy/InRelease"
    release.write_text(release.read_text().replace("Suite: jammy", "Suite: jammx"))
    assert check(settings, "--kind", "apt") == 1
    out = capsys.readouterr().out
    assert "apt jammy\n" in out
    assert "missing: 1;" in out


def test_dependencies_are_looked_for_where_a_hosts_status_is_given(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, listed)
    status = tmp_path / "status"
    status.write_text("")
    arguments = ("--kind", "apt", "--status", f"noble={status}")
    assert check(settings, *arguments) == 1
    out = capsys.readouterr().out
    assert "apt noble kubeadm=1.34.4-1.1" in out
    assert "dependency-of-kubeadm" in out
    status.write_text(
        "Package: dependency-of-kubeadm\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"
        "Maintainer: nobody <nobody@example.internal>\nDescription: on every host\n"
    )
    assert check(settings, *arguments) == 0


def test_a_package_that_every_host_brings_need_not_be_there(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], tmp_path: Path
) -> None:
    """`fill --status` leaves it out. One with a pinned version is asked for all the same."""
    fill(mirror, [item for item in listed if (item.group, item.name) != ("noble", "openssl")])
    status = tmp_path / "status"
    stanza = "Package: {}\nStatus: install ok {}\nVersion: 1\nArchitecture: amd64\n\n"
    status.write_text(stanza.format("dependency-of-kubeadm", "installed") + stanza.format("openssl", "not-installed"))
    arguments = ("--kind", "apt", "--status", f"noble={status}")
    assert check(settings, *arguments) == 1
    status.write_text(status.read_text().replace("not-installed", "installed"))
    assert check(settings, *arguments) == 0
    fill(mirror, [item for item in listed if (item.group, item.name) != ("noble", "kubelet")])
    status.write_text(status.read_text() + stanza.format("kubelet", "installed"))
    assert check(settings, *arguments) == 1


def test_a_login_that_the_registry_does_not_take_is_named(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("vault_registry_password: wrong\n")
    assert check(settings, "--kind", "image", "--extra-vars", str(wrong)) == 1
    assert "unauthorized" in capsys.readouterr().out


def test_a_registry_password_in_a_closed_vault_is_refused(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load(settings["extra_vars"][0].read_text())
    del values["vault_registry_password"]
    (tmp_path / "values.yml").write_text(yaml.safe_dump(values))
    assert check({**settings, "extra_vars": [tmp_path / "values.yml"]}, "--kind", "image") == 2
    assert "give the vault's password" in capsys.readouterr().err


def test_the_digests_that_the_registry_has_are_signed(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], tmp_path: Path
) -> None:
    fill(mirror, listed)
    assert vouch(settings, tmp_path) == 0
    entries = vouched.read(tmp_path / "images.json")
    assert {entry["name"] for entry in entries} == {item.at for item in listed if item.kind == "image"}
    [pause] = [entry for entry in entries if "/pause:" in entry["name"]]
    assert pause["digest"] == mirror.registry.add_image(pause["name"].partition("/")[2])
    assert signature.fault(tmp_path / "images.json", tmp_path / "site.pub") is None


def test_images_of_an_earlier_list_stay_admitted(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], tmp_path: Path
) -> None:
    fill(mirror, listed)
    earlier = {"name": "registry/runtime", "digest": "sha256:" + "1" * 64}
    (tmp_path / "old.json").write_text(json.dumps({"format": 1, "site": "registry", "images": [earlier]}))
    assert vouch(settings, tmp_path, "--keep", str(tmp_path / "old.json")) == 0
    assert earlier in vouched.read(tmp_path / "images.json")


def test_nothing_is_signed_while_an_image_is_missing(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, [item for item in listed if "/pause:" not in item.name])
    assert vouch(settings, tmp_path) == 1
    assert "nothing was written: 1 images are not in the registry" in capsys.readouterr().out
    assert not (tmp_path / "images.json").exists()


def test_images_that_were_built_here_are_signed_with_how_they_were_built(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(mirror, listed)
    built = [item for item in listed if item.kind == "image" and item.source == BUILT]
    assert vouch(settings, tmp_path, "--provenance", str(tmp_path)) == 1
    assert f"nothing was written: {len(built)} images have no statement" in capsys.readouterr().out
    assert not (tmp_path / "images.json").exists()
    for item in built:
        statement = {"subject": [{"digest": {"sha256": item.digest.removeprefix("sha256:")}}]}
        (tmp_path / provenance.file_of(repository(item), item.digest)).write_text(json.dumps(statement))
    assert vouch(settings, tmp_path, "--provenance", str(tmp_path)) == 0
    signed = {
        entry["digest"]: entry["provenance"] for entry in vouched.read(tmp_path / "images.json") if len(entry) == 3
    }
    for item in built:
        file = tmp_path / provenance.file_of(repository(item), item.digest)
        assert signed.pop(item.digest) == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert not signed, "other projects' images have no statement of ours"


def test_a_statement_of_another_image_is_refused(
    mirror: SiteMirror, settings: dict[str, Any], listed: list[Item], tmp_path: Path
) -> None:
    fill(mirror, listed)
    for item in listed:
        if item.kind == "image" and item.source == BUILT:
            other = {"subject": [{"digest": {"sha256": "0" * 64}}]}
            (tmp_path / provenance.file_of(repository(item), item.digest)).write_text(json.dumps(other))
    assert vouch(settings, tmp_path, "--provenance", str(tmp_path)) == 1


def repository(item: Item) -> str:
    return item.name.partition(":")[0]


def vouch(settings: dict[str, Any], folder: Path, *arguments: str) -> int:
    """Write folder/images.json with a key of the folder."""
    key = folder / "site.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", folder / "site.pub"], check=True)
    options = ["--stack", settings["stack"], "--extra-vars", settings["extra_vars"][0], "--key", key]
    return main(["vouch", str(EXAMPLE), *map(str, options), "--to", str(folder / "images.json"), *arguments])
