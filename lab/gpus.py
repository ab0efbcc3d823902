"""What a host with GPUs has in its slots: DGX H100's devices, as a folder in the form of /sys/bus/pci/devices."""

from __future__ import annotations

from pathlib import Path

PCI = Path("opt/rack/pci/devices")
READINGS = Path("opt/rack/gpus")
NVIDIA = "0x10de"
# PCI id and class, and the bus numbers at which DGX H100 has them.
H100 = ("0x2330", "0x030200", ("1b", "43", "52", "61", "9d", "c3", "d1", "df"))
NVSWITCH = ("0x22a3", "0x068000", ("07", "08", "09", "0a"))


def install(disk: Path) -> None:
    """Write the devices below a host's root; nothing else on the host says that it has GPUs."""
    for device, kind, buses in (H100, NVSWITCH):
        for bus in buses:
            folder = disk / PCI / f"0000:{bus}:00.0"
            folder.mkdir(parents=True)
            known_as = f"pci:v000010DEd0000{device[2:].upper()}sv000010DEsd00000000bc{kind[2:4]}sc{kind[4:6]}i00"
            for name, value in (("vendor", NVIDIA), ("device", device), ("class", kind), ("modalias", known_as)):
                (folder / name).write_text(f"{value}\n")
    for index in range(len(H100[2])):
        (disk / READINGS / str(index)).mkdir(parents=True)
