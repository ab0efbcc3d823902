"""The module that pins packages, with the real apt and dpkg on a small system of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).parents[3]
ANSIBLE = REPO / "ansible"
APT_CONF = """\
Dir "{root}";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::Bin::dpkg "/usr/bin/dpkg";
Dir::Etc::trustedparts "{root}/etc/apt/trusted.gpg.d";
APT::Sandbox::User "root";
APT::Architecture "amd64";
DPkg::Options {{ "--root={root}"; "--force-script-chrootless"; "--force-not-root"; "--log={root}/log"; }};
"""
RUN = """\
import pathlib
from ansible_collections.qwen_onprem.hosts.plugins.modules import pinned_packages
pinned_packages.PREFERENCES = pathlib.Path({preferences!r})
pinned_packages.main()
"""


class System:
    """A dpkg database, and a signed repository that it installs from."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.root, self.repository, self.published = folder / "root", folder / "repository", False
        for path in ("var/lib/dpkg/info", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt"):
            (self.root / path).mkdir(parents=True)
        for path in ("etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "etc/apt/apt.conf.d"):
            (self.root / path).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()
        (self.root / "etc/apt/sources.list").write_text(f"deb file:{self.repository} ./\n")
        (folder / "apt.conf").write_text(APT_CONF.format(root=self.root))
        self.environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "GNUPGHOME": str(keys)}
        self.environment |= {"DPKG_ADMINDIR": str(self.root / "var/lib/dpkg"), "LC_ALL": "C.UTF-8"}
        self.repository.mkdir()
        exported = subprocess.run(["gpg", "--export"], env=self.environment, check=True, capture_output=True).stdout
        (self.root / "etc/apt/trusted.gpg.d/t.gpg").write_bytes(exported)

    def run(self, *argv: str | Path, cwd: Path | None = None) -> str:
        return subprocess.run(
            argv, env=self.environment, cwd=cwd, check=True, capture_output=True, text=True
        ).stdout  # fmt: skip

    def offer(self, name: str, version: str, **fields: str) -> None:
        tree = self.repository / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        control = {"Package": name, "Version": version, "Architecture": "amd64", "Maintainer": "t", **fields}
        (tree / "DEBIAN/control").write_text("".join(f"{k}: {v}\n" for k, v in control.items()) + "Description: t\n")
        self.run("dpkg-deb", "--build", tree, self.repository / f"{name}_{version}.deb")
        shutil.rmtree(tree)
        self.published = False

    def publish(self) -> None:
        packages = self.run("apt-ftparchive", "packages", ".", cwd=self.repository)
        (self.repository / "Packages").write_text(packages)
        for name in ("InRelease", "Release"):
            (self.repository / name).unlink(missing_ok=True)
        release = self.run("apt-ftparchive", "release", ".", cwd=self.repository)
        (self.repository / "Release").write_text(release)
        self.run(
            "gpg", "--quiet", "--clearsign", "--output", self.repository / "InRelease", self.repository / "Release"
        )
        self.published = True

    def pin(self, packages: dict[str, str], *, check: bool = False, **parameters: Any) -> dict[str, Any]:
        if not self.published:
            self.publish()
        arguments = {"name": "t", "packages": packages, "_ansible_check_mode": check, **parameters}
        code = RUN.format(preferences=str(self.root / "etc/apt/preferences.d"))
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env={
                **self.environment,
                "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}",
                "PYTHONPATH": str(ANSIBLE / "collections"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def installed(self) -> dict[str, str]:
        form = "${db:Status-Abbrev} ${Package} ${Version}\n"
        rows = [line.split() for line in self.run("dpkg-query", "--show", f"--showformat={form}").splitlines()]
        return {name: f"{state} {version}" for state, name, version in rows}

    def preferences(self) -> list[Path]:
        return list((self.root / "etc/apt/preferences.d").iterdir())


@pytest.fixture(scope="module")
def new_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """Makes a new signing key at each call."""
    made: list[Path] = []

    def make() -> Path:
        made.append(tmp_path_factory.mktemp("keys"))
        command = "gpg --batch --quiet --passphrase= --quick-generate-key t ed25519 sign"
        subprocess.run(command.split(), env={**os.environ, "GNUPGHOME": str(made[-1])}, check=True)
        return made[-1]

    yield make
    for keys in made:
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env={**os.environ, "GNUPGHOME": str(keys)}, check=True)


@pytest.fixture(scope="module")
def keys(new_keys: Callable[[], Path]) -> Path:
    return new_keys()


@pytest.fixture
def system(tmp_path: Path, keys: Path) -> System:
    system = System(tmp_path, keys)
    for version in ("535.1-1", "580.1-1", "590.1-1"):
        system.offer("libdriver", version)
        system.offer("driver", version, Depends=f"libdriver (= {version})")
    return system


PINS = {"*driver*": "580.1-*"}


def test_the_exact_version_is_installed_and_held_although_a_newer_one_is_there(system: System) -> None:
    assert system.pin({"driver": "580.1-1"}, pins=PINS)["changed"]
    assert system.installed() == {"driver": "hi 580.1-1", "libdriver": "ii 580.1-1"}
    assert not system.pin({"driver": "580.1-1"}, pins=PINS)["changed"]


def test_held_packages_go_up_and_down_when_asked(system: System) -> None:
    for version in ("580.1-1", "590.1-1", "535.1-1"):
        pins = {"*driver*": version}
        answer = system.pin({"driver": version, "libdriver": version}, pins=pins)
        assert answer["changed"]
        assert system.installed() == {"driver": f"hi {version}", "libdriver": f"hi {version}"}
    assert answer["before"] == {"driver": "590.1-1", "libdriver": "590.1-1"}


def test_a_package_of_any_version_is_neither_moved_nor_held(system: System) -> None:
    system.pin({"libdriver": "535.1-1"})
    system.run("apt-mark", "unhold", "libdriver")
    system.offer("tool", "1-1")
    assert system.pin({"libdriver": "*", "tool": "*"})["changed"]
    assert system.installed() == {"libdriver": "ii 535.1-1", "tool": "ii 1-1"}
    assert not system.pin({"libdriver": "*", "tool": "*"})["changed"]


def test_a_package_of_any_version_that_is_missing_is_named(system: System) -> None:
    assert "no tool * (on offer: none)" in refused(system, {"tool": "*"})


def test_a_package_of_any_version_takes_no_other_away(system: System) -> None:
    system.offer("containerd.io", "1-1")
    system.pin({"containerd.io": "*"})
    system.offer("containerd", "1-1", Conflicts="containerd.io")
    assert "it would remove containerd.io" in refused(system, {"containerd": "*"})


def test_check_mode_changes_nothing_and_needs_no_lists(system: System) -> None:
    assert system.pin({"driver": "580.1-1"}, check=True, pins=PINS)["changed"]
    assert system.installed() == {}
    assert system.preferences() == []


def test_an_obsolete_package_gives_way_in_the_same_step(system: System) -> None:
    system.offer("manager-535", "535.1-1")
    system.offer("manager", "580.1-1", Conflicts="manager-535")
    system.pin({"manager-535": "535.1-1"})
    answer = system.pin({"manager": "580.1-1"}, obsolete=["manager*"])
    assert answer["before"] == {"manager-535": "535.1-1"}
    assert {name for name, state in system.installed().items() if "i " in state} == {"manager"}


def refused(system: System, packages: dict[str, str], **parameters: Any) -> str:
    """The message of a run that fails; it must leave packages and preferences as they were."""
    before = system.installed()
    answer = system.pin(packages, pins=PINS, **parameters)
    assert answer.get("failed"), answer
    assert system.installed() == before
    assert system.preferences() == []
    message = str(answer["msg"])
    assert "Found" in message
    assert "needed" in message
    return message


def test_a_missing_package_is_named_with_what_is_on_offer(system: System) -> None:
    message = refused(system, {"driver": "580.1-1", "libdriver": "579.9-1", "other": "1-1"})
    assert "libdriver 579.9-1 (on offer: 590.1-1, 580.1-1, 535.1-1)" in message
    assert "other 1-1 (on offer: none)" in message


def test_a_wrong_signature_is_refused(system: System, new_keys: Callable[[], Path]) -> None:
    system.environment["GNUPGHOME"] = str(new_keys())
    assert "signed with the key of the site's repository" in refused(system, {"driver": "580.1-1"})


def test_a_corrupted_package_is_refused(system: System) -> None:
    system.publish()
    deb = system.repository / "libdriver_580.1-1.deb"
    data = bytearray(deb.read_bytes())
    data[len(data) // 2] ^= 1
    deb.write_bytes(data)
    assert "cannot be fetched whole" in refused(system, {"driver": "580.1-1"})


def test_what_would_take_something_away_is_refused(system: System) -> None:
    system.offer("kubelet", "1-1", Conflicts="driver")
    system.pin({"kubelet": "1-1"})
    system.run("apt-mark", "unhold", "kubelet")
    assert "it would remove kubelet" in refused(system, {"driver": "580.1-1"})


@pytest.fixture
def dgx_os(system: System) -> System:
    """A system as DGX OS comes: Docker's own packages, which exclude the distribution's."""
    relations = {"Provides": "containerd, runc", "Conflicts": "containerd, runc", "Replaces": "containerd, runc"}
    system.offer("containerd.io", "1.7.27-1", **relations)
    system.offer("docker-ce", "5:28.0.1-1", Depends="containerd.io")
    system.pin({"docker-ce": "*", "containerd.io": "*"})
    system.offer("runc", "1.1.5-1")
    system.offer("containerd", "1.6.20-1", Depends="runc")
    system.publish()
    system.run("apt-get", "update", "-q")
    return system


ENGINE = {"containerd": "*", "runc": "*"}


def test_what_apt_would_remove_without_asking_is_refused_at_the_rehearsal(dgx_os: System) -> None:
    alone = dgx_os.run("apt-get", "install", "--yes", "--simulate", *ENGINE)
    assert {line.split()[1] for line in alone.splitlines() if line.startswith("Remv")} == {"containerd.io", "docker-ce"}
    assert "it would remove containerd.io, docker-ce" in refused(dgx_os, ENGINE, rehearsal=True)
    assert "it would remove containerd.io" in refused(dgx_os, ENGINE, rehearsal=True, obsolete=["docker-ce"])


def test_what_is_named_gives_way_in_the_same_step_and_a_rehearsal_changes_nothing(dgx_os: System) -> None:
    before, named = dgx_os.installed(), ["docker-ce*", "containerd.io"]
    assert not dgx_os.pin(ENGINE, rehearsal=True, obsolete=named)["changed"]
    assert (dgx_os.installed(), dgx_os.preferences()) == (before, [])
    assert dgx_os.pin(ENGINE, obsolete=named)["changed"]
    assert {name for name, state in dgx_os.installed().items() if state[1] == "i"} == {"containerd", "runc"}
    assert not dgx_os.pin(ENGINE, obsolete=named)["changed"]


def test_dockers_containerd_is_kept_where_the_site_names_it(dgx_os: System) -> None:
    assert not dgx_os.pin({"containerd.io": "*"}, rehearsal=True)["changed"]
    assert not dgx_os.pin({"containerd.io": "*"})["changed"]


def test_the_examples_lists_let_all_of_dgx_os_give_way_that_is_in_the_way_and_nothing_else(system: System) -> None:
    """The packages of the scenario nvidia_driver-dgx, and the drivers of Debian's names that they exclude."""
    brought = yaml.safe_load((REPO / "molecule/nvidia_driver-dgx/host_vars/gpu6.yml").read_text())["dgx_os_packages"]
    for package in brought:
        fields = [line.split(": ") for line in package.get("fields", "").splitlines()]
        system.offer(package["name"], "550.163.01-0ubuntu1", **dict(fields))
    driver = dict.fromkeys(
        ["libcuda1", "libnvidia-ml1", "nvidia-smi", "nvidia-persistenced", "nvidia-kernel-support"], "580.1-1"
    )
    for name in [*driver, *ENGINE]:
        system.offer(name, "580.1-1")
    system.pin({package["name"]: "550.163.01-0ubuntu1" for package in brought})
    system.run("apt-mark", "unhold", *(package["name"] for package in brought))
    for role, packages in (("nvidia_driver", driver), ("container_runtime", ENGINE)):
        variables = yaml.safe_load((REPO / f"inventory/example/group_vars/gpu/{role}.yml").read_text())
        refused(system, packages, rehearsal=True)
        system.pin(packages, obsolete=variables[f"{role}_replaced_packages"])
    left = {name for name, state in system.installed().items() if state[1] == "i"} & {p["name"] for p in brought}
    # The fabric manager gives way to the row's in a role of its own.
    assert left == {"dgx-release", "nvidia-fabricmanager-550"}


def test_versions_that_exclude_each_other_are_refused(system: System) -> None:
    assert "cannot be installed together" in refused(system, {"driver": "580.1-1", "libdriver": "535.1-1"})


def test_a_run_that_was_cut_off_is_ended(system: System) -> None:
    """dpkg unpacked the library and did not get to configure it."""
    archive = system.repository / "libdriver_580.1-1.deb"
    system.run("dpkg", f"--root={system.root}", "--force-script-chrootless", "--unpack", archive)
    assert system.installed()["libdriver"].startswith("iU")
    assert system.pin({"driver": "580.1-1", "libdriver": "580.1-1"}, pins=PINS)["changed"]
    assert system.installed() == {"driver": "hi 580.1-1", "libdriver": "hi 580.1-1"}
