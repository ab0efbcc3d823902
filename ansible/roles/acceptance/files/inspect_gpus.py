"""Print as JSON the state of a host's GPUs and of what they depend on: nvidia-smi, services, XIDs, the clock.

    python3 inspect_gpus.py

Python's standard library only. A program that is missing or fails is reported with its own words; nothing is changed.
"""

import ctypes
import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

FIELDS = (
    "index",
    "name",
    "driver_version",
    "memory.total",
    "ecc.mode.current",
    "ecc.errors.uncorrected.volatile.total",
    "compute_cap",
    "mig.mode.current",
)
CORRUPTED_INFOROM = 14  # nvidia-smi ends with it after a whole answer and a warning
INFOROM_WARNING = re.compile(r"^WARNING: infoROM is corrupted at gpu (\S+)\n?", re.MULTILINE)
SERVICES = ("nvidia-fabricmanager", "nvidia-persistenced")
XID = re.compile(r"NVRM: Xid \((?:PCI:)?([^)]*)\): (\d+)")
TIME_ERROR = 5  # what ntp_adjtime answers while nothing disciplines the clock
TIMEX_BYTES = 256  # more than struct timex takes


class Failed(Exception):
    """A program did not answer; the text says why."""


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{argv[0]}: {error}") from error
    if done.returncode not in {0, CORRUPTED_INFOROM}:
        raise Failed(f"{' '.join(argv[:2])}: {(done.stderr.strip() or done.stdout.strip())[-300:]}")
    return done


def smi(*argv: str) -> str:
    """Answer of nvidia-smi without its warnings."""
    return INFOROM_WARNING.sub("", run("nvidia-smi", *argv).stdout)


def query(fields: tuple[str, ...]) -> list[dict[str, str]]:
    """One row per GPU, field to value."""
    text = smi(f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
    rows = [[value.strip() for value in line.split(",")] for line in text.splitlines() if line]
    return [dict(zip(fields, row, strict=True)) for row in rows]


def read_links(text: str) -> list[int]:
    """Active NVLinks of each GPU, from `nvidia-smi nvlink --status`."""
    gpus = re.split(r"^GPU \d+:", text, flags=re.MULTILINE)[1:]
    return [len(re.findall(r"Link \d+: [\d.]+ GB/s", gpu)) for gpu in gpus]


def read_fabric(text: str) -> list[dict[str, str]]:
    """Fabric state and status of each GPU, from `nvidia-smi -q`."""
    pattern = r"^\s+Fabric\s*\n\s+State\s*: (.+)\n\s+Status\s*: (.+)$"
    return [{"state": state.strip(), "status": status.strip()} for state, status in re.findall(pattern, text, re.M)]


def read_remapped(text: str) -> list[dict[str, str]]:
    """Whether rows of each GPU's memory wait for a reset or could not be replaced, from `nvidia-smi -q`."""
    pattern = r"^\s+Pending\s*: (.+)\n\s+Remapping Failure Occurred\s*: (.+)$"
    return [{"pending": p.strip(), "failed": f.strip()} for p, f in re.findall(pattern, text, re.M)]


def read_corrupted_inforoms() -> list[str]:
    """Addresses of the GPUs that nvidia-smi warns of, on whichever of its outputs."""
    done = run("nvidia-smi")
    return INFOROM_WARNING.findall(f"{done.stdout}\n{done.stderr}")


def read_xids() -> list[dict[str, str]]:
    """XIDs in this boot's kernel log: the GPU's address, its number and the line."""
    log = subprocess.run(
        ["journalctl", "--dmesg", "--boot", "--no-pager", "--output=short-iso"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [
        {"gpu": found[1], "xid": found[2], "line": line}
        for line in log.splitlines()
        if (found := XID.search(line)) is not None
    ]


def read_services() -> dict[str, str]:
    """Service to active, inactive, failed ..."""
    return {
        name: subprocess.run(
            ["systemctl", "is-active", name], capture_output=True, text=True, check=False
        ).stdout.strip()
        for name in SERVICES
    }


def ask(question: Callable[[], Any]) -> tuple[Any, str]:
    """Answer and error of a program; one of them is empty."""
    try:
        return question(), ""
    except Failed as error:
        return [], str(error)


def inspect() -> dict[str, Any]:
    answers = {
        "gpus": ask(lambda: query(FIELDS)),
        "remapped": ask(lambda: read_remapped(smi("-q"))),
        "links": ask(lambda: read_links(smi("nvlink", "--status"))),
        "fabric": ask(lambda: read_fabric(smi("-q"))),
        "inforoms": ask(read_corrupted_inforoms),
    }
    return {
        **{name: answer for name, (answer, _) in answers.items()},
        "errors": {name: error for name, (_, error) in answers.items() if error},
        "services": read_services(),
        "xids": read_xids(),
        "clock_disciplined": ctypes.CDLL(None).ntp_adjtime(ctypes.create_string_buffer(TIMEX_BYTES)) != TIME_ERROR,
    }


if __name__ == "__main__":
    print(json.dumps(inspect()))
