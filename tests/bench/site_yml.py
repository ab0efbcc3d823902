"""site.yml beside the bare commands that it wraps, its second run, and its growth with the number of hosts.

    python3 -m lab run python -m tests.bench.site_yml          after `make up` and `make down`

Expected: the first run within 1.5 times the sum of the commands (package installs, kubeadm init and join), the second
within 30 s and without a change, the roles that need no cluster on 16 hosts within 3 times their time on 2. All hosts
share this machine's cores, of which a lab that is up takes a fifth; only its mirror is needed, and is started. The last
line is JSON; seconds, and ratios of them.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lab.cluster import site
from lab.hosts import network, rack
from lab.mirror import server
from lab.paths import CONTROLLER_ENV, REPO
from lab.shell import output
from tests.bench.arms import machine

EXPECTED = {"site_over_commands": 1.5, "second_run_s": 30, "hosts_16_over_2": 3}
WITHOUT_CLUSTER = "hosts"  # the phase: every role that needs no cluster
# Configuration of the installed programs for this site; the bare arm gets it as files, as an operator has it at hand.
SITE_FILES = (
    *("etc/apt/keyrings/site.asc", "etc/apt/sources.list.d/site.sources", "etc/apt/apt.conf.d/60-site"),
    "etc/containerd",
    *("etc/systemd/system/containerd.service.d", "etc/kubernetes"),
)
AUDIT_LOG = "var/log/kubernetes/audit"  # a directory that the API server asks for
DISCOVERY = "/root/discovery.conf"
BARE = "bench-bare"
# Keeps the settings that are there: dpkg would ask.
INSTALL = (
    "DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends -o Dpkg::Options::=--force-confold"
)
OF_A_CLUSTER = ("*.conf", "pki", "manifests", "tmp*")


class Run(NamedTuple):
    seconds: float
    changed: int
    """Tasks."""
    busy: float
    """Share of all cores; near 1, hosts wait for the processors."""
    controller_s: float
    """Processor seconds of Ansible itself, which remain on a rack whose hosts have their own processors."""


def main() -> None:
    figures = {**measure_site(), **measure_scaling()}
    print(f"{'':<22}{'expected':>10}{'measured':>10}")
    for name, expected in EXPECTED.items():
        print(f"{name:<22}{'<= ' + str(expected):>10}{figures[name]:>10}")
    print(json.dumps(figures))


def measure_site() -> dict[str, float]:
    names, plain = ["bench-control", "bench-gpu"], ["plain-control", "plain-gpu"]
    try:
        addresses = boot_bare(names, names[1:])
        first = play(addresses, names[:1], names[1:])
        print(f"site.yml on two bare hosts: {first.seconds} s, {first.busy:.0%} of all cores busy", flush=True)
        second = play(addresses, names[:1], names[1:])
        print(f"the same once more: {second.seconds} s, {second.changed} changed", flush=True)
        packages = [list_new_packages(name) for name in names]
        wall_s, sum_s = run_bare_commands(names, plain, packages)
        print(f"the bare commands: {sum_s} s, {wall_s} s where hosts install side by side", flush=True)
    finally:
        rack.remove_scratch([*names, *plain])
    return {
        "site_s": first.seconds,
        "second_run_s": second.seconds,
        "second_run_changed": second.changed,
        "commands_wall_s": wall_s,
        "commands_sum_s": sum_s,
        "site_over_commands": round(first.seconds / sum_s, 2),
        "site_over_commands_wall": round(first.seconds / wall_s, 2),
    }


def measure_scaling() -> dict[str, float]:
    runs: dict[int, Run] = {}
    for count in (2, 16):
        names = [f"bench-{count}-{n}" for n in range(count)]
        try:
            addresses = boot_bare(names, names[1:])
            run = runs[count] = play(addresses, names[:1], names[1:], "--tags", WITHOUT_CLUSTER)
            busy = f"{run.busy:.0%} of all cores busy, {run.controller_s} core-seconds of them the controller's"
            print(f"{WITHOUT_CLUSTER} on {count} hosts: {run.seconds} s, {busy}", flush=True)
        finally:
            rack.remove_scratch(names)
    return {
        **{f"hosts_{count}_s": run.seconds for count, run in runs.items()},
        **{f"hosts_{count}_cores_busy": round(run.busy, 2) for count, run in runs.items()},
        **{f"hosts_{count}_controller_s": run.controller_s for count, run in runs.items()},
        "hosts_16_over_2": round(runs[16].seconds / runs[2].seconds, 2),
    }


def boot_bare(names: list[str], with_gpus: list[str]) -> dict[str, str]:
    """Makes new hosts and returns their addresses; what a killed run has left on them is removed."""
    rack.remove_scratch(names)
    return rack.ensure_scratch(names, dict.fromkeys(with_gpus, "h100"))


def play(addresses: dict[str, str], control: list[str], gpu: list[str], *options: str) -> Run:
    """Run site.yml on an inventory of these hosts."""
    groups = {
        group: {"hosts": {name: {"ansible_host": addresses[name]} for name in names}}
        for group, names in (("control_plane", control), ("gpu", gpu))
    }
    with tempfile.TemporaryDirectory() as folder:
        inventory = Path(folder)
        (inventory / "hosts.yml").write_text(yaml.safe_dump({"cluster": {"children": groups}}))
        (inventory / "group_vars").symlink_to(REPO / "inventory/local/group_vars")
        # It is on a disk that goes with the host, and there for the second run, whose changes would count.
        kubeconfig = rack.DISKS / control[0] / "root/kubeconfig"
        extra: dict[str, Any] = {"site_root": str(REPO), "kubernetes_kubeconfig_path": str(kubeconfig)}
        begun, before, children_s = time.monotonic(), machine.busy_cores_seconds(), ended_children_s()
        done = subprocess.run(
            [
                CONTROLLER_ENV / "bin/ansible-playbook",
                "-i",
                inventory,
                "ansible/site.yml",
                "-e",
                json.dumps(extra),
                *options,
            ],
            cwd=REPO,
            env={"PATH": f"{CONTROLLER_ENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **site.environment()},
            capture_output=True,
            text=True,
            check=False,
        )
        took_s = round(time.monotonic() - begun, 1)
        busy = (machine.busy_cores_seconds() - before) / (took_s * (os.cpu_count() or 1))
    if done.returncode:
        raise SystemExit(done.stdout[-4000:] + done.stderr[-1000:])
    changed = sum(int(changed) for _, _, changed, _, _ in site.RECAP.findall(done.stdout))
    return Run(took_s, changed, busy, round(ended_children_s() - children_s, 1))


def ended_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def list_new_packages(name: str) -> list[str]:
    """Packages, as package=version, that site.yml brought to a host."""
    boot_bare([BARE], [])
    bare = set(read_packages(rack.DISKS / BARE))
    rack.remove_scratch([BARE])
    return [package for package in read_packages(rack.DISKS / name) if package not in bare]


def read_packages(disk: Path) -> list[str]:
    form = "${Package}=${Version}\n"
    return output("dpkg-query", f"--admindir={disk}/var/lib/dpkg", "--show", "--showformat", form).splitlines()


def run_bare_commands(models: list[str], names: list[str], packages: list[list[str]]) -> tuple[float, float]:
    """Repeat the work of site.yml by hand on bare hosts; returns wall-clock seconds and the sum over commands."""
    addresses = boot_bare(names, [])
    for model, name in zip(models, names, strict=True):
        copy_site_files(model, name, addresses[name])
    sum_s = 0.0

    def timed(name: str, script: str) -> str:
        nonlocal sum_s
        begun = time.monotonic()
        answer = output("podman", "exec", rack.PREFIX + name, "sh", "-ec", script)
        sum_s += time.monotonic() - begun
        return answer

    def install(name: str, wanted: list[str]) -> None:
        timed(name, "apt-get update -q")
        timed(name, f"{INSTALL} {' '.join(wanted)}")
        timed(name, "sysctl -q -w net.ipv4.ip_forward=1")

    begun = time.monotonic()
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(install, names, packages))
    control, worker = names
    timed(control, "kubeadm init --config=/etc/kubernetes/kubeadm-init.yaml")
    token = timed(control, "KUBECONFIG=/etc/kubernetes/admin.conf kubeadm token create").strip()
    write_discovery(control, worker, f"https://{addresses[control]}:6443", token)
    timed(worker, f"kubeadm join --discovery-file={DISCOVERY} --ignore-preflight-errors=all")
    return round(time.monotonic() - begun, 1), round(sum_s, 1)


def write_discovery(control: str, worker: str, server: str, token: str) -> None:
    """Kubeconfig with the cluster's authority and a name, because the API refuses anonymous requests."""
    authority = (rack.DISKS / control / "etc/kubernetes/pki/ca.crt").read_bytes()
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "joining", "user": {"token": token}}],
        "contexts": [{"name": "join", "context": {"cluster": "bench", "user": "joining"}}],
        "current-context": "join",
    }
    (rack.DISKS / worker / DISCOVERY.lstrip("/")).write_text(yaml.safe_dump(kubeconfig))


def copy_site_files(model: str, name: str, address: str) -> None:
    """Copy the settings that Ansible wrote on one host to a bare one, with the name and address of the latter."""
    source, target = rack.DISKS / model, rack.DISKS / name
    for path in SITE_FILES:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        if (source / path).is_dir():
            shutil.copytree(
                source / path, target / path, ignore=shutil.ignore_patterns(*OF_A_CLUSTER), dirs_exist_ok=True
            )
        elif (source / path).exists():
            shutil.copy(source / path, target / path)
    (target / AUDIT_LOG).mkdir(parents=True, exist_ok=True)
    init = target / "etc/kubernetes/kubeadm-init.yaml"
    if init.exists():
        old = rack.ensure_scratch([model], [])[model]
        init.write_text(init.read_text().replace(old, address).replace(model, name))


if __name__ == "__main__":
    network.ensure()
    server.ensure()
    main()
