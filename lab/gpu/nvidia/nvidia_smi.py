#!/usr/bin/python3
"""nvidia-smi of the rack: what operators and roles read of NVIDIA's, in the same form, from libnvidia-ml.so.1.

nvidia-smi | -L | -q [-d ECC,...] | --query-gpu=FIELDS --format=csv[,noheader][,nounits] | nvlink --status | topo -m
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from ctypes import c_int

from lab.gpu.nvidia.rack_nvml import CORRUPTED_INFOROM, DRIVER_NOT_LOADED, GPU_IS_LOST, Gpu, Nvml, NvmlError

MIB = 1 << 20

# Unit and reader of each field; the names are those of --help-query-gpu.
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
    """Name, after the answer, each GPU whose infoROM cannot be read; returns nvidia-smi's exit code."""
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
