"""PCI devices of a host with GPUs, as a folder in the form of /sys/bus/pci/devices."""

from __future__ import annotations

from pathlib import Path

from lab.errors import LabError

PCI = Path("opt/rack/pci/devices")
READINGS = Path("opt/rack/gpus")
NVIDIA, MELLANOX = "0x10de", "0x15b3"
# Bus numbers of DGX H100. The stand-ins expect them for every model.
GPU_BUSES = ("1b", "43", "52", "61", "9d", "c3", "d1", "df")
SWITCH_BUSES = ("07", "08", "09", "0a", "0b", "0c")
# Devices of each model: vendor, PCI id, class and buses. B200's NVSwitches are no PCI devices, but the bridges of
# ConnectX-7 that lead to them are.
MODELS: dict[str, tuple[tuple[str, str, str, tuple[str, ...]], ...]] = {
    "h100": ((NVIDIA, "0x2330", "0x030200", GPU_BUSES), (NVIDIA, "0x22a3", "0x068000", SWITCH_BUSES[:4])),
    "a100": ((NVIDIA, "0x20b2", "0x030200", GPU_BUSES), (NVIDIA, "0x1af1", "0x068000", SWITCH_BUSES)),
    "b200": ((NVIDIA, "0x2901", "0x030200", GPU_BUSES), (MELLANOX, "0x1021", "0x020700", SWITCH_BUSES[:4])),
}


def install(disk: Path, model: str = "h100") -> None:
    """Write the devices below a host's root; nothing else on the host shows that it has GPUs."""
    if model not in MODELS:
        raise LabError(f"no GPU is called {model}", f"one of {', '.join(MODELS)}", "correct the host's GPUs")
    for vendor, device, kind, buses in MODELS[model]:
        for bus in buses:
            folder = disk / PCI / f"0000:{bus}:00.0"
            folder.mkdir(parents=True)
            identity = f"pci:v0000{vendor[2:].upper()}d0000{device[2:].upper()}sv000010DEsd00000000"
            alias = f"{identity}bc{kind[2:4]}sc{kind[4:6]}i00"
            for name, value in (("vendor", vendor), ("device", device), ("class", kind), ("modalias", alias)):
                (folder / name).write_text(f"{value}\n")
    for index in range(len(GPU_BUSES)):
        (disk / READINGS / str(index)).mkdir(parents=True)
