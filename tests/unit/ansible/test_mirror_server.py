"""A mirror's host whose folder, certificate, ports, disk or users do not fit is refused before anything is changed."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.mirror import authority
from lab.shell import output

from . import refusals
from .by_path import load
from .rendering import render

inspect_certificate = load("mirror_server/files/inspect_certificate.py")
NAME, ADDRESS = "mirror.example.internal", "10.20.0.6"
SUITE = "bookworm"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a certificate of it for the mirror's name and address."""
    folder = tmp_path_factory.mktemp("signed")
    authority.sign(folder, NAME, ADDRESS)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other")
    authority.sign(folder, NAME, ADDRESS)
    return folder


def fault(certificate: Path, key: Path, trusted: Path | str, *names: str) -> str:
    return str(inspect_certificate.fault(str(certificate), str(key), str(trusted), list(names)))


def test_a_certificate_for_every_name_by_the_sites_authority_passes(signed: Path) -> None:
    assert fault(signed / "server.crt", signed / "server.key", signed / "ca.crt", NAME, ADDRESS) == ""


def test_a_certificate_that_clients_would_refuse_is_named_with_the_reason(signed: Path, other: Path) -> None:
    pair = signed / "server.crt", signed / "server.key"
    assert "clients of registry.example.internal refuse: Hostname mismatch" in fault(
        *pair, signed / "ca.crt", NAME, "registry.example.internal"
    )
    assert f"clients of {NAME} refuse: " in fault(*pair, other / "ca.crt", NAME)
    assert f"clients of {NAME} refuse: " in fault(*pair, "", NAME), "no system trusts it"
    assert "IP address mismatch" in fault(*pair, signed / "ca.crt", "10.20.0.7")


def test_an_expired_certificate_is_named(signed: Path, tmp_path: Path) -> None:
    made = ("openssl", "x509", "-req", "-CA", signed / "ca.crt", "-CAkey", signed / "ca.key", "-CAcreateserial")
    (tmp_path / "names").write_text(f"subjectAltName=DNS:{NAME}\n")
    output("openssl", "req", "-new", "-key", signed / "server.key", "-subj", f"/CN={NAME}", "-out", tmp_path / "csr")
    output(*made, "-in", tmp_path / "csr", "-extfile", tmp_path / "names", "-days", "-1", "-out", tmp_path / "old.crt")
    assert "certificate has expired" in fault(tmp_path / "old.crt", signed / "server.key", signed / "ca.crt", NAME)


def test_files_that_do_not_belong_together_are_named(signed: Path, other: Path, tmp_path: Path) -> None:
    trusted = signed / "ca.crt"
    assert "that is not of the certificate" in fault(signed / "server.crt", other / "server.key", trusted, NAME)
    assert "No such file" in fault(tmp_path / "none.crt", signed / "server.key", trusted, NAME)
    (tmp_path / "page.crt").write_text("<html>")
    assert f"no certificate at {tmp_path}/page.crt" in fault(
        tmp_path / "page.crt", signed / "server.key", trusted, NAME
    )
    locked = tmp_path / "locked.key"
    output("openssl", "pkey", "-in", signed / "server.key", "-aes256", "-passout", "pass:secret", "-out", locked)
    assert "a key without password" in fault(signed / "server.crt", locked, trusted, NAME)
    assert "no authority at " in fault(signed / "server.crt", signed / "server.key", tmp_path / "none", NAME)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.fixture(scope="module")
def refused(signed: Path, other: Path, port: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("mirror")
    lists = folder / "srv/apt/dists" / SUITE / "InRelease"
    lists.parent.mkdir(parents=True)
    lists.write_text("")
    good: dict[str, Any] = {
        "mirror_server_root": str(folder / "srv"),
        "mirror_server_names": [NAME],
        "mirror_server_certificate_file": str(signed / "server.crt"),
        "mirror_server_key_file": str(signed / "server.key"),
        "mirror_server_ca_file": str(signed / "ca.crt"),
        "mirror_server_push_users": {"filler": "secret"},
        "mirror_server_registry_dir": str(folder / "images"),
        "mirror_server_registry_min_gb": 0,
        "mirror_server_port": 1,
        "mirror_server_registry_port": 2,
        "mirror_server_suite": SUITE,
    }
    cases = {
        "good": {},
        "no-folder": {"mirror_server_root": str(folder / "none")},
        "no-certificate": {"mirror_server_certificate_file": ""},
        "nobody-pushes": {"mirror_server_push_users": {}},
        "no-password": {"mirror_server_pull_users": {"hosts": ""}},
        "two-passwords": {"mirror_server_pull_users": {"filler": "other"}},
        "other-key": {"mirror_server_key_file": str(other / "server.key")},
        "other-name": {"mirror_server_names": [NAME, "registry.example.internal"]},
        "port-taken": {"mirror_server_port": port},
        "registry-port-taken": {"mirror_server_registry_port": port},
        "small-disk": {"mirror_server_registry_min_gb": 10_000_000},
    }
    tasks = [{"ansible.builtin.import_role": {"name": "mirror_server", "tasks_from": "preflight"}}]
    return refusals.refused(folder, tasks, {name: good | case for name, case in cases.items()})


def test_a_host_that_fits_is_not_refused(refused: dict[str, str]) -> None:
    assert "good" not in refused, refused["good"]


@pytest.mark.parametrize(
    ("case", "words"),
    {
        "no-folder": "/none/apt/dists/bookworm/InRelease",
        "no-certificate": 'mirror_server_certificate_file ""',
        "nobody-pushes": "a user who pushes",
        "no-password": "a password for each user",
        "two-passwords": "Found filler in both",
        "other-key": "that is not of the certificate",
        "other-name": "clients of registry.example.internal refuse",
        "port-taken": "for nginx",
        "registry-port-taken": "for docker-registry",
        "small-disk": "needed 10000000 GB",
    }.items(),
)
def test_what_does_not_fit_is_refused_by_name(refused: dict[str, str], case: str, words: str) -> None:
    assert words in refused[case]


def test_the_room_for_images_is_what_the_disk_has(refused: dict[str, str], tmp_path: Path) -> None:
    [found] = re.findall(r"Found ([\d.]+) GB", refused["small-disk"])
    assert float(found) == pytest.approx(shutil.disk_usage(tmp_path).free / 1e9, rel=0.2)


def test_whoever_only_pulls_is_not_among_those_who_push() -> None:
    hashes = {"hosts": "$6$a", "filler": "$6$b"}
    text = render("mirror_server/templates/users.j2", __mirror_server_of=["filler"], __mirror_server_hashes=hashes)
    assert text == "filler:$6$b\n"
    site = render("mirror_server/templates/site.conf.j2", mirror_server_names=[NAME])
    writing = site[site.index("limit_except GET HEAD") :]
    assert writing.split(";")[0].endswith("push.users")
