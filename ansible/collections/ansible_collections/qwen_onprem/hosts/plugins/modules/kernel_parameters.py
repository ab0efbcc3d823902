#!/usr/bin/python
"""Set kernel parameters now and for every boot."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: kernel_parameters
short_description: Kernel parameters that are in force now and after every boot
description:
  - Writes a file of sysctl.d, and loads it when the values in force are others. Two calls of sysctl serve any number of
    parameters, where M(ansible.posix.sysctl) needs a task per parameter.
options:
  path:
    description: The file, such as C(/etc/sysctl.d/60-kubernetes.conf).
    type: path
    required: true
  parameters:
    description: Parameter to value. Nothing else stands in the file.
    type: dict
    required: true
attributes:
  check_mode: {support: full}
author: qwen-onprem
"""
EXAMPLES = r"""
- name: Let the host forward packets
  qwen_onprem.hosts.kernel_parameters:
    path: /etc/sysctl.d/60-kubernetes.conf
    parameters: {net.ipv4.ip_forward: "1"}
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}, "parameters": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    parameters = {name: str(value) for name, value in module.params["parameters"].items()}
    lines = ["# Ansible managed", *(f"{name} = {value}" for name, value in parameters.items())]
    text = "\n".join(lines) + "\n"
    is_written = path.exists() and path.read_text() == text
    # A parameter of a module that is not loaded yet, as in check mode, is missing in the answer.
    _, answer, _ = module.run_command(["sysctl", "--values", *parameters])
    is_in_force = answer.splitlines() == list(parameters.values())
    if not module.check_mode:
        if not is_written:
            partial = path.with_suffix(".partial")
            partial.write_text(text)
            partial.chmod(0o644)
            partial.rename(path)
        if not is_in_force:
            module.run_command(["sysctl", f"--load={path}"], check_rc=True)
    module.exit_json(changed=not (is_written and is_in_force))


if __name__ == "__main__":
    main()
