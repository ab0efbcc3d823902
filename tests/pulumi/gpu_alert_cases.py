"""Series with which each alert of GPUs fires, and series that look alike with which it must not."""

from __future__ import annotations

from .alert_cases import Case, Series, gpu, waiting


def xid(index: int, values: str) -> Series:
    return {f'DCGM_FI_DEV_XID_ERRORS{{gpu="{index}",node="gpu1"}}': values}


def code(xid: int, values: str) -> Series:
    """Series that the exporter has of an XID, with a meaning among its labels."""
    return {f'DCGM_FI_DEV_XID_ERRORS{{gpu="0",node="gpu1",err_code="{xid}",err_msg="Text {xid}"}}': values}


GPUS = (
    Case(
        "HighGPUUsage",
        12,
        (gpu("GPU_UTIL", "95x30") | waiting("3x30"),),
        (
            gpu("GPU_UTIL", "95x30") | waiting("0x30"),
            gpu("GPU_UTIL", "85x30") | waiting("3x30"),
        ),
    ),
    Case(
        "GpuLost",
        5,
        (gpu("GPU_TEMP", "40x30", 7), gpu("GPU_TEMP", "40x30", 6) | xid(6, "79x30")),
        # The eighth fell off the bus, of which its XID tells.
        (gpu("GPU_TEMP", "40x30", 8), gpu("GPU_TEMP", "40x30", 7) | xid(7, "79x30")),
    ),
    Case("HostVanished", 25, (gpu("GPU_TEMP", "40x10"),), (gpu("GPU_TEMP", "40x30"),)),
    Case("GpuNeedsReset", 5, (gpu("XID_ERRORS", "79x30"),), (gpu("XID_ERRORS", "43x30"), gpu("XID_ERRORS", "0x30"))),
    Case(
        "GpuApplicationFault",
        10,
        # The exporter ends the series of one code and begins that of another.
        (code(0, "0x3 _x20") | code(31, "_x4 31x10"),),
        (code(31, "31x20"), code(0, "0x3 _x20") | code(43, "_x4 43x10")),
    ),
    Case("GpuMemoryError", 10, (gpu("ECC_DBE_VOL_TOTAL", "0x5 1x10"),), (gpu("ECC_DBE_VOL_TOTAL", "1x20"),)),
    Case(
        "GpuRowsRemapped",
        10,
        (gpu("UNCORRECTABLE_REMAPPED_ROWS", "2x5 3x10"),),
        (gpu("UNCORRECTABLE_REMAPPED_ROWS", "2x20"),),
    ),
    Case("GpuRowRemapFailed", 5, (gpu("ROW_REMAP_FAILURE", "1x20"),), (gpu("ROW_REMAP_FAILURE", "0x20"),)),
    Case(
        "NvlinkErrors",
        15,
        (
            gpu("NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "0x5 1x20"),
            gpu("NVLINK_REPLAY_ERROR_COUNT_TOTAL", "0+2x20"),
        ),
        (
            gpu("NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "7x20"),
            gpu("NVLINK_REPLAY_ERROR_COUNT_TOTAL", "0x10 3x20"),
        ),
    ),
    Case(
        "GpuPowerBrake",
        8,
        # The brake is told together with the slowdown that it causes.
        (gpu("CLOCKS_EVENT_REASONS", "136x20"),),
        (gpu("CLOCKS_EVENT_REASONS", "127x20"), gpu("CLOCKS_EVENT_REASONS", "256x20")),
    ),
    Case(
        "GpuDivided",
        8,
        (
            gpu("MIG_MODE", "1x20"),
            {'DCGM_FI_DEV_FB_USED{gpu="0",node="gpu1",GPU_I_ID="7",GPU_I_PROFILE="1g.10gb"}': "0x20"},
        ),
        (gpu("MIG_MODE", "0x20") | gpu("FB_USED", "0x20"),),
    ),
    Case("GpuHot", 8, (gpu("GPU_TEMP", "90x20"),), (gpu("GPU_TEMP", "80x20"), gpu("GPU_TEMP", "80x5 90x3"))),
    Case(
        "GpuThrottled",
        12,
        (
            gpu("THERMAL_VIOLATION", "5+9x30"),
            gpu("THERMAL_VIOLATION", "0x30") | gpu("CLOCKS_EVENT_REASONS", "32x30"),
            gpu("CLOCKS_EVENT_REASONS", "72x30"),
        ),
        # Power that is limited is no heat, and neither is a GPU with nothing to do.
        (gpu("THERMAL_VIOLATION", "500x30"), gpu("CLOCKS_EVENT_REASONS", "5x30")),
    ),
)
