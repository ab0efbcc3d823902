"""A lost controller is rebuilt from the site's mirror and its backup, and a program refuses somebody else's cluster.

The new controller is a bare host beside a lab that is up, without a way out: packages, environment, engine and provider
come to it as docs/operate/install.md says, and nothing of the old controller but its backup. Its clone is at the commit
of this one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller.parts import BELOW_CLONE, Part
from images.apt_source import AptSource
from lab.cluster import stack
from lab.hosts import network, rack, rootfs
from lab.mirror import authority, client, controller, product, server, stand_in_tools
from lab.paths import BIN, KUBECONFIG, REPO
from lab.shell import output
from lab.versions import FILE as VERSIONS
from tests.fakes import kubernetes_api

NAME = "controller1"
CLONE = "/root/qwen-onprem"
ENGINE, PROVIDER = stand_in_tools.names()
SDK = yaml.safe_load(VERSIONS.read_text())["versions"]["tools"]["pulumi_kubernetes"]
MIRROR = f"https://{network.MIRROR_NAME}"
# The provider is installed as the version that the SDK asks for, which at a site is its own (docs/adr/0152).
PREPARE = f"""
apt-get update
apt-get install --yes /media/site/apt/{rootfs.SUITE}/*.deb kubectl
tar -xzf /media/kept.tar.gz --strip-components=1 also-1/site-ca.crt
python3 -m venv /opt/qwen-onprem
/opt/qwen-onprem/bin/pip install --no-index --find-links {MIRROR}/wheels/ --cert site-ca.crt \
  --require-hashes -r {CLONE}/locks/controller.txt
curl --fail --cacert site-ca.crt --remote-name-all {MIRROR}/tools/{ENGINE} {MIRROR}/tools/{PROVIDER}
tar -xzf {ENGINE} -C /opt
pulumi plugin install resource kubernetes {SDK} --file {PROVIDER}
{CLONE}/controller/qwen-controller restore /media/kept.tar.gz
"""


def there(path: Path) -> str:
    """The place of a kept file on the new controller, whose clone lies elsewhere."""
    return Part("", path.resolve()).place.replace(BELOW_CLONE, f"{CLONE}/")


ENVIRONMENT = {
    "PATH": "/opt/qwen-onprem/bin:/opt/pulumi:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
    "KUBECONFIG": there(KUBECONFIG),
    "PULUMI_BACKEND_URL": f"file://{there(stack.STATE)}",
    "PULUMI_CONFIG_PASSPHRASE": "",
}
PREVIEW = f"""
cd {CLONE}/pulumi
pulumi preview --expect-no-changes --non-interactive --stack {stack.STACK} --config-file {there(stack.CONFIG)}
"""


def on_new(script: str) -> subprocess.CompletedProcess[str]:
    """Run on the new controller, in root's folder."""
    given = [f"--env={name}={value}" for name, value in ENVIRONMENT.items()]
    argv = ["podman", "exec", "--workdir=/root", *given, rack.PREFIX + NAME, "bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def check() -> subprocess.CompletedProcess[str]:
    """Ask the mirror for the controller's things, as this machine reaches it."""
    options = [*product.site_options(), *controller.KINDS, controller.USER, controller.values()]
    argv = [sys.executable, "mirror/qwen-mirror", "check", "inventory/local", *options]
    return subprocess.run(argv, cwd=REPO, check=False, capture_output=True, text=True)


def preview(**environment: str) -> subprocess.CompletedProcess[str]:
    """A preview by the controller that the lab has."""
    return subprocess.run(
        [
            *(BIN / "pulumi", "preview", "--expect-no-changes", "--non-interactive"),
            *("--stack", stack.STACK, "--config-file", stack.CONFIG),
        ],
        cwd=stack.PROGRAM, env={**os.environ, **stack.environment(), **environment},
        check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Path:
    """The carried folder of the controller's things, which the mirror serves, too."""
    return controller.publish()


@pytest.fixture(scope="module")
def rebuilt(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A new controller; what its making said."""
    kept = tmp_path_factory.mktemp("kept") / "kept.tar.gz"
    also = ("--also", authority.CERTIFICATE, "--also", KUBECONFIG)
    keep = ("controller/qwen-controller", "backup", "inventory/local", "--stack", stack.CONFIG, "--to", kept)
    output(*keep, *also, cwd=REPO, env=stack.environment())
    rack.remove_scratch([NAME])
    try:
        rack.ensure_scratch([NAME], {})
        disk = rack.DISKS / NAME
        output("git", "clone", "--quiet", "--depth=1", f"file://{REPO}", f"{disk}{CLONE}")
        shutil.copytree(folder / "apt", disk / "media/site/apt")
        shutil.copy(kept, disk / "media")
        AptSource(client.APT, client.APT_KEY, authority.CERTIFICATE).write(rootfs.SUITE, disk / "etc/apt")
        made = on_new(PREPARE)
        assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
        yield made.stdout
    finally:
        rack.remove_scratch([NAME])


def test_nothing_is_to_be_changed_after_a_controller_was_rebuilt(rebuilt: str) -> None:
    assert "put back" in rebuilt
    seen = on_new(PREVIEW)
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert "pulumi-resource-kubernetes from $PATH" not in seen.stdout + seen.stderr


def test_the_new_controller_reaches_the_mirror_and_nothing_outside(rebuilt: str) -> None:
    fetch = "pip download --no-deps --retries 0 pip"
    assert on_new(fetch).returncode != 0
    assert on_new(f"{fetch} --no-index --find-links {MIRROR}/wheels/ --cert site-ca.crt").returncode == 0


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("wheels/pulumi_kubernetes-*.whl", "pulumi-kubernetes"),
        (f"tools/{ENGINE}", ENGINE),
        (f"tools/{PROVIDER}", PROVIDER),
    ],
)
def test_what_the_mirror_lost_is_named_before_it_is_needed(
    folder: Path, pattern: str, name: str, tmp_path: Path
) -> None:
    whole = check()
    assert "missing: 0; " in whole.stdout, whole.stderr
    [file] = server.FILES.glob(pattern)
    shutil.move(file, tmp_path)
    try:
        asked = check()
    finally:
        shutil.move(tmp_path / file.name, file)
    assert asked.returncode == 1, asked.stderr
    assert "missing: 1; " in asked.stdout
    assert f" {name}\n" in asked.stdout


def test_the_stack_belongs_to_the_cluster_that_it_filled() -> None:
    asked = ("get", "namespace", "kube-system", "--output", "jsonpath={.metadata.uid}")
    uid = output(BIN / "kubectl", "--kubeconfig", KUBECONFIG, *asked)
    assert json.loads(stack.pulumi("stack", "output", "--json"))["cluster"] == uid


def test_the_cluster_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with kubernetes_api.cluster() as other:
        other.put("/api/v1/namespaces/kube-system")
        named = [{"name": "other", "cluster": {"server": other.url}}]
        contexts = [{"name": "other", "context": {"cluster": "other"}}]
        document = {"apiVersion": "v1", "kind": "Config", "clusters": named, "contexts": contexts}
        (tmp_path / "kubeconfig").write_text(json.dumps({**document, "current-context": "other"}))
        refused = preview(KUBECONFIG=str(tmp_path / "kubeconfig"))
    assert refused.returncode != 0
    assert "found:  a cluster with the uid uid-kube-system" in refused.stdout + refused.stderr
    assert other.asked == [], "nothing was changed"
