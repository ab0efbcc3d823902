#!/usr/bin/python3
"""nvidia-smi of the rack: what operators and roles ask NVIDIA's for, in its words, read from libnvidia-ml.so.1.

nvidia-smi | -L | -q [-d ECC,...] | --query-gpu=FIELDS --format=csv[,noheader][,nounits] | nvlink --status | topo -m
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import sys
import time
from collections.abc import Callable
from ctypes import byref, c_char, c_int, c_ubyte, c_uint, c_ulonglong, c_void_p

MIB = 1 << 20
UNSUPPORTED, DRIVER_NOT_LOADED, CORRUPTED_INFOROM, GPU_IS_LOST = 3, 9, 14, 15
NOT_AVAILABLE = "[N/A]"  # in CSV; without the brackets elsewhere
FABRIC_STATES = (NOT_AVAILABLE, "Not Started", "In Progress", "Completed")
FABRIC_STATUSES = {0: "Success", 23: "Insufficient Resources", 999: "Unknown Error"}


class Memory(ctypes.Structure):
    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class Utilization(ctypes.Structure):
    _fields_ = (("gpu", c_uint), ("memory", c_uint))


class Fabric(ctypes.Structure):
    _fields_ = (("cluster", c_ubyte * 16), ("status", c_int), ("clique", c_uint), ("state", c_ubyte))


class Pci(ctypes.Structure):
    _fields_ = (
        *(("legacy", c_char * 16), ("domain", c_uint), ("bus", c_uint), ("device", c_uint), ("id", c_uint)),
        *(("subsystem", c_uint), ("bus_id", c_char * 32)),
    )


class NvmlError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Nvml:
    """libnvidia-ml.so.1; every call that fails raises NvmlError."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libnvidia-ml.so.1")
        self.library.nvmlErrorString.restype = ctypes.c_char_p
        self.call("Init_v2")

    def call(self, name: str, *arguments: object) -> None:
        code = getattr(self.library, f"nvml{name}")(*arguments)
        if code:
            raise NvmlError(code, self.library.nvmlErrorString(code).decode())

    def text(self, name: str, *arguments: object) -> str:
        into = ctypes.create_string_buffer(96)
        self.call(name, *arguments, into, 96)
        return into.value.decode()

    def numbers(self, name: str, *arguments: object, kinds: tuple[type, ...] = (c_uint,)) -> list[int]:
        into = [kind() for kind in kinds]
        self.call(name, *arguments, *(byref(number) for number in into))
        return [number.value for number in into]


class Gpu:
    """One device's readings under nvidia-smi's names for them."""

    def __init__(self, nvml: Nvml, index: int) -> None:
        self.nvml, self.index = nvml, index
        self.handle = c_void_p()
        nvml.call("DeviceGetHandleByIndex_v2", index, byref(self.handle))

    def text(self, name: str) -> str:
        return self.nvml.text(f"DeviceGet{name}", self.handle)

    def number(self, name: str, *arguments: object, kind: type = c_uint) -> int:
        return self.nvml.numbers(f"DeviceGet{name}", self.handle, *arguments, kinds=(kind,))[0]

    def memory(self) -> Memory:
        self.nvml.call("DeviceGetMemoryInfo", self.handle, byref(into := Memory()))
        return into

    def utilization(self) -> Utilization:
        self.nvml.call("DeviceGetUtilizationRates", self.handle, byref(into := Utilization()))
        return into

    def bus_id(self) -> str:
        self.nvml.call("DeviceGetPciInfo_v3", self.handle, byref(into := Pci()))
        return str(into.bus_id.decode())

    def fabric(self) -> tuple[str, str]:
        """State of the registration, and what came of it once it has ended."""
        try:
            self.nvml.call("DeviceGetGpuFabricInfo", self.handle, byref(into := Fabric()))
        except NvmlError as problem:
            if problem.code != UNSUPPORTED:
                raise
            return NOT_AVAILABLE, NOT_AVAILABLE
        state = FABRIC_STATES[into.state]
        return state, FABRIC_STATUSES[into.status] if state == "Completed" else NOT_AVAILABLE

    def has_sound_inforom(self) -> bool:
        try:
            self.nvml.call("DeviceValidateInforom", self.handle)
        except NvmlError as problem:
            if problem.code != CORRUPTED_INFOROM:
                raise
            return False
        return True

    def mig_mode(self) -> str:
        current = self.nvml.numbers("DeviceGetMigMode", self.handle, kinds=(c_uint, c_uint))[0]
        return "Enabled" if current else "Disabled"

    def persistence(self) -> str:
        return "Enabled" if self.number("PersistenceMode") else "Disabled"

    def ecc_mode(self) -> str:
        current = self.nvml.numbers("DeviceGetEccMode", self.handle, kinds=(c_int, c_int))[0]
        return "Enabled" if current else "Disabled"

    def ecc(self, error: int, counter: int) -> int:
        return self.number("TotalEccErrors", error, counter, kind=c_ulonglong)

    def remapped(self) -> list[int]:
        return self.nvml.numbers("DeviceGetRemappedRows", self.handle, kinds=(c_uint,) * 4)

    def capability(self) -> str:
        return "{}.{}".format(*self.nvml.numbers("DeviceGetCudaComputeCapability", self.handle, kinds=(c_int, c_int)))

    def nvlinks(self) -> list[bool]:
        """Whether each link is active; empty where there is no switch."""
        states: list[bool] = []
        with contextlib.suppress(NvmlError):  # a link that the model does not have
            states.extend(bool(self.number("NvLinkState", link, kind=c_int)) for link in range(18))
        return states


# Field to its unit and how it is read; the names are those of --help-query-gpu.
FIELDS: dict[str, tuple[str, Callable[[Gpu], object]]] = {
    "index": ("", lambda g: g.index),
    "name": ("", lambda g: g.text("Name")),
    "uuid": ("", lambda g: g.text("UUID")),
    "serial": ("", lambda g: g.text("Serial")),
    "pci.bus_id": ("", Gpu.bus_id),
    "driver_version": ("", lambda g: g.nvml.text("SystemGetDriverVersion")),
    "vbios_version": ("", lambda g: g.text("VbiosVersion")),
    "count": ("", lambda g: g.nvml.numbers("DeviceGetCount_v2")[0]),
    "compute_cap": ("", Gpu.capability),
    "persistence_mode": ("", Gpu.persistence),
    "compute_mode": ("", lambda g: "Default"),
    "mig.mode.current": ("", Gpu.mig_mode),
    "memory.total": ("MiB", lambda g: g.memory().total // MIB),
    "memory.used": ("MiB", lambda g: g.memory().used // MIB),
    "memory.free": ("MiB", lambda g: g.memory().free // MIB),
    "utilization.gpu": ("%", lambda g: g.utilization().gpu),
    "utilization.memory": ("%", lambda g: g.utilization().memory),
    "temperature.gpu": ("", lambda g: g.number("Temperature", 0)),
    "power.draw": ("W", lambda g: f"{g.number('PowerUsage') / 1000:.2f}"),
    "power.limit": ("W", lambda g: f"{g.number('EnforcedPowerLimit') / 1000:.2f}"),
    "clocks.sm": ("MHz", lambda g: g.number("ClockInfo", 1)),
    "clocks.mem": ("MHz", lambda g: g.number("ClockInfo", 2)),
    "ecc.mode.current": ("", Gpu.ecc_mode),
    "ecc.errors.corrected.volatile.total": ("", lambda g: g.ecc(0, 0)),
    "ecc.errors.uncorrected.volatile.total": ("", lambda g: g.ecc(1, 0)),
    "ecc.errors.corrected.aggregate.total": ("", lambda g: g.ecc(0, 1)),
    "ecc.errors.uncorrected.aggregate.total": ("", lambda g: g.ecc(1, 1)),
    "remapped_rows.correctable": ("", lambda g: g.remapped()[0]),
    "remapped_rows.uncorrectable": ("", lambda g: g.remapped()[1]),
    "remapped_rows.pending": ("", lambda g: "Yes" if g.remapped()[2] else "No"),
    "remapped_rows.failure": ("", lambda g: "Yes" if g.remapped()[3] else "No"),
    "fabric.state": ("", lambda g: g.fabric()[0]),
    "fabric.status": ("", lambda g: g.fabric()[1]),
}
ALIASES = {"gpu_name": "name", "gpu_uuid": "uuid", "gpu_bus_id": "pci.bus_id", "gpu_serial": "serial"}


def query(gpus: list[Gpu], fields: str, options: str) -> str:
    names = [ALIASES.get(name.strip(), name.strip()) for name in fields.split(",")]
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        sys.exit(f'Field "{unknown[0]}" is not a valid field to query.')
    chosen = options.split(",")
    lines = []
    if "noheader" not in chosen:
        lines.append(", ".join(f"{name} [{FIELDS[name][0]}]" if FIELDS[name][0] else name for name in names))
    for gpu in gpus:
        cells = [(FIELDS[name][1](gpu), "" if "nounits" in chosen else FIELDS[name][0]) for name in names]
        lines.append(", ".join(f"{value} {unit}".rstrip() for value, unit in cells))
    return "\n".join(lines)


def table(nvml: Nvml, gpus: list[Gpu]) -> str:
    driver = nvml.text("SystemGetDriverVersion")
    cuda = nvml.numbers("SystemGetCudaDriverVersion_v2", kinds=(c_int,))[0]
    bar = "+" + "-" * 89 + "+"
    cuda_text = f"{cuda // 1000}.{cuda % 1000 // 10}"
    lines = [
        time.strftime("%a %b %e %H:%M:%S %Y"),
        bar,
        f"| NVIDIA-SMI {driver:<20}Driver Version: {driver:<18}CUDA Version: {cuda_text:<9}|",
        bar,
        f"| {'GPU  Name':<32}{'Persistence-M':>13} | {'Bus-Id':<18}| {'Memory-Usage':>20} |",
        f"| {'     Temp   Pwr:Usage/Cap':<45} | {'Volatile ECC':<18}| {'GPU-Util':>20} |",
        bar,
    ]
    for gpu in gpus:
        memory = gpu.memory()
        mode = "On" if gpu.number("PersistenceMode") else "Off"
        power = f"{gpu.number('PowerUsage') // 1000}W / {gpu.number('EnforcedPowerLimit') // 1000}W"
        usage = f"{memory.used // MIB}MiB / {memory.total // MIB}MiB"
        heat = f"     {gpu.number('Temperature', 0)}C   {power}"
        lines += [
            f"| {gpu.index:>3}  {gpu.text('Name'):<30}{mode:>10} | {gpu.bus_id():<18}| {usage:>20} |",
            f"| {heat:<45} | {gpu.ecc(1, 0):<18}| {f'{gpu.utilization().gpu}%':>20} |",
        ]
    return "\n".join([*lines, bar])


def details(nvml: Nvml, gpus: list[Gpu]) -> str:
    cuda = nvml.numbers("SystemGetCudaDriverVersion_v2", kinds=(c_int,))[0]

    def row(depth: int, name: str, value: object) -> str:
        return f"{'    ' * depth + name:<42}: {value}"

    lines = [
        "\n==============NVSMI LOG==============\n",
        row(0, "Driver Version", nvml.text("SystemGetDriverVersion")),
        row(0, "CUDA Version", f"{cuda // 1000}.{cuda % 1000 // 10}"),
        "",
        row(0, "Attached GPUs", len(gpus)),
    ]
    for gpu in gpus:
        corrected, uncorrected, pending, failed = gpu.remapped()
        lines += [f"GPU {gpu.bus_id()}", row(1, "Product Name", gpu.text("Name"))]
        lines += ["    MIG Mode", row(2, "Current", gpu.mig_mode())]
        lines += [row(1, "Persistence Mode", gpu.persistence()), row(1, "GPU UUID", gpu.text("UUID")), "    ECC Mode"]
        lines += [row(2, "Current", gpu.ecc_mode()), "    ECC Errors"]
        for counter, title in enumerate(("Volatile", "Aggregate")):
            lines += [f"        {title}", row(3, "DRAM Correctable", gpu.ecc(0, counter))]
            lines += [row(3, "DRAM Uncorrectable", gpu.ecc(1, counter))]
        lines += [
            "    Remapped Rows",
            row(2, "Correctable Error", corrected),
            row(2, "Uncorrectable Error", uncorrected),
        ]
        lines += [row(2, "Pending", "Yes" if pending else "No")]
        lines += [row(2, "Remapping Failure Occurred", "Yes" if failed else "No"), "    Fabric"]
        state, status = (word.strip("[]") for word in gpu.fabric())
        lines += [row(2, "State", state), row(2, "Status", status), ""]
    return "\n".join(lines)


def nvlink(gpus: list[Gpu]) -> str:
    lines = []
    for gpu in gpus:
        lines.append(f"GPU {gpu.index}: {gpu.text('Name')} (UUID: {gpu.text('UUID')})")
        lines += [f"\t Link {n}: {'26.562 GB/s' if up else '<inactive>'}" for n, up in enumerate(gpu.nvlinks())]
    return "\n".join(lines)


def topology(gpus: list[Gpu]) -> str:
    names = [f"GPU{gpu.index}" for gpu in gpus]
    lines = ["\t".join(["", *names, "CPU Affinity", "NUMA Affinity"])]
    for gpu in gpus:
        links = sum(gpu.nvlinks())
        cells = [" X " if other is gpu else (f"NV{links}" if links else "SYS") for other in gpus]
        node = gpu.number("NumaNodeId")
        lines.append("\t".join([f"GPU{gpu.index}", *cells, f"{56 * node}-{56 * node + 55}", str(node)]))
    return "\n".join(lines)


def warn_of_inforom(gpus: list[Gpu]) -> int:
    """Say after the answer whose infoROM cannot be read; returns what nvidia-smi then ends with."""
    corrupted = [gpu for gpu in gpus if not gpu.has_sound_inforom()]
    for gpu in corrupted:
        print(f"WARNING: infoROM is corrupted at gpu {gpu.bus_id()[4:]}")
    return CORRUPTED_INFOROM if corrupted else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nvidia-smi", description=__doc__)
    parser.add_argument("-L", "--list-gpus", action="store_true")
    parser.add_argument("-q", "--query", action="store_true")
    parser.add_argument("-d", "--display", help="accepted; -q shows all it knows")
    parser.add_argument("-i", "--id", default="", help="indices, comma between")
    parser.add_argument("--query-gpu", default="")
    parser.add_argument("--format", default="csv")
    commands = parser.add_subparsers(dest="command")
    links = commands.add_parser("nvlink")
    links.add_argument("-s", "--status", action="store_true")
    commands.add_parser("topo").add_argument("-m", "--matrix", action="store_true")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    try:
        nvml = Nvml()
        chosen = arguments.id.split(",") if arguments.id else range(nvml.numbers("DeviceGetCount_v2")[0])
        gpus = [Gpu(nvml, int(index)) for index in chosen]
        if arguments.query_gpu:
            print(query(gpus, arguments.query_gpu, arguments.format))
            sys.exit(warn_of_inforom(gpus))
        elif arguments.list_gpus:
            print("\n".join(f"GPU {g.index}: {g.text('Name')} (UUID: {g.text('UUID')})" for g in gpus))
        elif arguments.query:
            print(details(nvml, gpus))
        elif arguments.command == "nvlink":
            print(nvlink(gpus))
        elif arguments.command == "topo":
            print(topology(gpus))
        else:
            print(table(nvml, gpus))
            sys.exit(warn_of_inforom(gpus))
    except NvmlError as problem:
        if problem.code == DRIVER_NOT_LOADED:
            print("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
        elif problem.code == GPU_IS_LOST:
            print("Unable to determine the device handle for a GPU: GPU is lost.  Reboot the system to recover it")
        else:
            print(f"Failed to initialize NVML: {problem}")
        sys.exit(problem.code)


if __name__ == "__main__":
    main()
