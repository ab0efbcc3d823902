#!/usr/bin/python
"""Install Debian packages from the site's repository and hold pinned ones: all of them or, if one is missing, none."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.debian_packages import Packages, Refused

DOCUMENTATION = r"""
module: pinned_packages
short_description: Debian packages from the site's repository, pinned ones held at their versions
description:
  - Installs packages in one transaction. Those with a version are upgraded or downgraded to it and held.
  - Everything is looked up, simulated and downloaded before anything is changed. What is missing is refused with
    found, needed and remedy, and the host stays as it was.
options:
  name:
    description: Names the preferences file, /etc/apt/preferences.d/<name>.pref.
    type: str
    required: true
  packages:
    description: Package to version. C(*) is any version; such a package is neither moved nor held.
    type: dict
    required: true
  pins:
    description: Patterns of packages to patterns of versions, for what the packages depend on.
    type: dict
    default: {}
  obsolete:
    description: Patterns of packages to remove, when they are not among I(packages).
    type: list
    elements: str
    default: []
  rehearsal:
    description: Look up and simulate, and refuse as the installation would, but change nothing.
    type: bool
    default: false
attributes:
  check_mode: {support: full}
author: qwen-onprem
"""
EXAMPLES = r"""
- name: Install the pinned fabric manager
  qwen_onprem.hosts.pinned_packages:
    name: nvidia-fabricmanager
    packages: {nvidia-fabricmanager: 580.126.20-1}
    obsolete: ["nvidia-fabricmanager*"]

- name: Install the role's packages at the versions that the site has
  qwen_onprem.hosts.pinned_packages:
    name: hardening
    packages: "{{ dict(hardening_firewall_packages | product(['*'])) }}"
"""
RETURN = r"""
before:
  description: Versions of I(packages) and of obsolete ones that were installed before.
  type: dict
  returned: always
"""

PREFERENCES = Path("/etc/apt/preferences.d")


def _preferences(pins: dict[str, str]) -> str | None:
    blocks = [
        f"Package: {packages}\nPin: version {version}\nPin-Priority: 1001\n" for packages, version in pins.items()
    ]
    return "# Ansible managed\n" + "\n".join(blocks) if pins else None


def _put(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
        return
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(path)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "packages": {"type": "dict", "required": True},
            "pins": {"type": "dict", "default": {}},
            "obsolete": {"type": "list", "elements": "str", "default": []},
            "rehearsal": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    wanted = {str(name): str(version) for name, version in module.params["packages"].items()}
    packages = Packages(module.run_command, wanted, module.params["obsolete"])
    before = packages.before()
    path = PREFERENCES / f"{module.params['name']}.pref"
    pinned, pins = path.read_text() if path.exists() else None, _preferences(module.params["pins"])
    changed = bool(pinned != pins or packages.differing() or packages.obsolete or packages.unheld())
    rehearsal = module.params["rehearsal"]
    if module.check_mode or not changed:
        module.exit_json(changed=changed and not rehearsal, before=before)
    try:
        _put(path, pins)
        if not rehearsal:
            packages.finish_interrupted()
        if packages.differing() or packages.obsolete:
            packages.look_up()
            packages.rehearse()
        if rehearsal:
            _put(path, pinned)
            module.exit_json(changed=False, before=before)
        if packages.differing() or packages.obsolete:
            packages.change()
    except Refused as problem:
        _put(path, pinned)
        module.fail_json(msg=str(problem), before=before)
    if packages.pinned():
        module.run_command(["apt-mark", "hold", *packages.pinned()], check_rc=True)
    module.exit_json(changed=True, before=before)


if __name__ == "__main__":
    main()
