"""GPUs: the fields that the DCGM exporter is told to read, and the `serving:*` series that are made of them."""

from __future__ import annotations

from qwen_stack.specs.manifest import Manifest

MIB = 1_048_576
# Fields of DCGM with the type and the help text of the exporter's own lists (etc/default-counters.csv); the last two's
# are DCGM's. Its default list has no ECC, throttling, errors of NVLink or MIG, so the exporter gets this one.
COUNTERS = (
    ("DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz)."),
    ("DCGM_FI_DEV_MEM_CLOCK", "gauge", "Memory clock frequency (in MHz)."),
    ("DCGM_FI_DEV_MEMORY_TEMP", "gauge", "Memory temperature (in C)."),
    ("DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C)."),
    ("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W)."),
    ("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "counter", "Total number of PCIe retries."),
    ("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %)."),
    ("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Memory utilization (in %)."),
    ("DCGM_FI_DEV_XID_ERRORS", "gauge", "Value of the last XID error encountered."),
    ("DCGM_FI_DEV_THERMAL_VIOLATION", "counter", "Throttling duration due to thermal constraints."),
    ("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB)."),
    ("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB)."),
    ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "counter", "Total number of double-bit volatile ECC errors."),
    ("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "counter", "Total number of NVLink retries."),
    ("DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "counter", "Total number of NVLink recovery errors."),
    ("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "counter", "Total number of NVLink bandwidth counters for all lanes."),
    ("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "counter", "Number of remapped rows for uncorrectable errors."),
    ("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "counter", "Number of remapped rows for correctable errors."),
    ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", "Whether remapping of rows has failed."),
    ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "gauge", "Current clock event reasons (bit mask)."),
    ("DCGM_FI_DEV_MIG_MODE", "gauge", "MIG mode (0 is disabled; 1 is enabled)."),
)
# Reasons for lowered clocks with their bits in the mask, under the names that the exporter's own collector gives. The
# clocks of an idle GPU (bit 1) and of a display (bit 256) are no reason for slow answers.
CLOCK_EVENTS = {
    "clocks_setting": 2,
    "power_cap": 4,
    "hw_slowdown": 8,
    "sync_boost": 16,
    "sw_thermal": 32,
    "hw_thermal": 64,
    "hw_power_brake": 128,
}
# Classes of XIDs by what has to be done, from NVIDIA's catalogue of XID errors. A code of neither class means nothing
# without others, such as 43 and 45, which follow from the end of a process.
NEEDS_RESET = (48, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 140, 143)
BY_APPLICATION = (13, 31, 68, 69)
FELL_OFF_THE_BUS = 79
SERIES = {
    "gpu_utilization:ratio": "DCGM_FI_DEV_GPU_UTIL / 100",
    "gpu_memory_used:bytes": f"DCGM_FI_DEV_FB_USED * {MIB}",
    "gpu_memory_free:bytes": f"DCGM_FI_DEV_FB_FREE * {MIB}",
    "gpu_temperature:celsius": "DCGM_FI_DEV_GPU_TEMP",
    "gpu_memory_temperature:celsius": "DCGM_FI_DEV_MEMORY_TEMP",
    "gpu_power:watts": "DCGM_FI_DEV_POWER_USAGE",
    "gpu_sm_clock:hertz": "DCGM_FI_DEV_SM_CLOCK * 1000000",
    # The exporter writes the code and its meaning as labels too: each XID would be a series of its own that never
    # changes.
    "gpu_last_xid:code": "max without (err_code, err_msg) (DCGM_FI_DEV_XID_ERRORS)",
    "gpu_double_bit_errors:total": "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
    "gpu_remapped_rows:total": "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
    "gpu_row_remap_failed:bool": "DCGM_FI_DEV_ROW_REMAP_FAILURE",
    # The exporter's lists disagree about the unit; only whether it grows is read.
    "gpu_thermal_throttling:total": "DCGM_FI_DEV_THERMAL_VIOLATION",
    "gpu_nvlink_retries:total": "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL",
    "gpu_nvlink_recoveries:total": "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL",
    "gpu_pcie_retries:total": "DCGM_FI_DEV_PCIE_REPLAY_COUNTER",
    # Of a divided GPU the exporter writes the parts, under labels of their own.
    "gpu_divided:bool": "max without (GPU_I_PROFILE, GPU_I_ID) "
    '(DCGM_FI_DEV_MIG_MODE or DCGM_FI_DEV_FB_USED{GPU_I_ID!=""} ^ 0)',
}


def counters_csv() -> str:
    """List of fields in the exporter's own format."""
    return "".join(f"{name}, {kind}, {text}\n" for name, kind, text in COUNTERS)


def recording_rules() -> list[Manifest]:
    """Rules for GPUs. DCGM reports percent, MiB and MHz; the contract has ratios, bytes and hertz.

    A field that a GPU does not know (N/A) may be no number. It is left out here, or averages over a host were none.
    """
    plain = [{"record": f"serving:{name}", "expr": f"{expression} >= 0"} for name, expression in SERIES.items()]
    return [*plain, *(_clock_event(reason, bit) for reason, bit in CLOCK_EVENTS.items())]


def _clock_event(reason: str, bit: int) -> Manifest:
    """Rule that tells whether a GPU gives a reason for lowered clocks: one bit of the mask."""
    expression = f"floor(DCGM_FI_DEV_CLOCKS_EVENT_REASONS / {bit}) % 2 >= 0"
    return {"record": "serving:gpu_clock_event:bool", "labels": {"reason": reason}, "expr": expression}
