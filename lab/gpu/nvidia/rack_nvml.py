"""Readings from libnvidia-ml.so.1 of the rack, under nvidia-smi's names."""

from __future__ import annotations

import contextlib
import ctypes
from ctypes import byref, c_char, c_int, c_ubyte, c_uint, c_ulonglong, c_void_p

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
    """One device's readings under nvidia-smi's names."""

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
        """State of the registration with the fabric, and its result once it has ended."""
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
