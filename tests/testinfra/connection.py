"""The connection to a host as the inventory describes it, with sudo's password where the site has one."""

from __future__ import annotations

import shlex
import subprocess

from testinfra.backend.base import CommandResult
from testinfra.backend.ssh import SshBackend
from testinfra.host import Host

from .inventory import Expected


class PasswordSudo(SshBackend):
    """Gives sudo its password on the standard input: arguments are seen by everybody on controller and host."""

    def __init__(self, hostspec: str, password: str, **options: object) -> None:
        super().__init__(hostspec, **options)  # type: ignore[arg-type]
        self._password = password

    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        user = f"--user={shlex.quote(sudo_user)} " if sudo_user else ""
        # --reset-timestamp: a sudo that remembers the login would leave the password to the command.
        return f"sudo --stdin --reset-timestamp --prompt= {user}/bin/sh -c {shlex.quote(command)}"

    def run_local(self, command: str, *args: str) -> CommandResult:
        line = self.quote(command, *args)
        done = subprocess.run(line, shell=True, input=f"{self._password}\n".encode(), capture_output=True, check=False)
        return self.result(done.returncode, line.encode(), done.stdout, done.stderr)


def connect(node: str, expected: Expected) -> Host:
    """The host over the ssh connection that Ansible itself would use."""
    hostspec = f"{expected.get('ansible_user', 'root')}@{expected.get('ansible_host', node)}"
    become = bool(expected.get("ansible_become", False))
    password = expected.get("ansible_become_password") if become else None
    options = {
        "ssh_identity_file": expected.get("ansible_ssh_private_key_file"),
        "ssh_extra_args": shlex.join(
            [*shlex.split(expected.get("ansible_ssh_common_args", "")), "-o", "BatchMode=yes"]
        ),
        "sudo": become,
        "controlpersist": 10,
    }
    backend = PasswordSudo(hostspec, str(password), **options) if password else SshBackend(hostspec, **options)
    return Host(backend)
