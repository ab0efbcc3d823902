"""The table of faults: what is done about each XID and each growing counter of a GPU.

XIDs are NVIDIA's (docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html), whose advice is finer than this.
Where it leaves a choice, the row takes what stops less, or a person.
A change of a row raises VERSION, which stands in everything that is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
XID_SERIES = "serving:gpu_last_xid:code"


class Action(IntEnum):
    """The answer to a fault; a larger one includes what a smaller one cures."""

    IGNORE = 0
    RESTART = 1
    RESET = 2
    DRAIN = 3

    @property
    def words(self) -> str:
        return WORDS[self]


WORDS = {
    Action.IGNORE: "ignore it",
    Action.RESTART: "restart the pod",
    Action.RESET: "drain the host for a reset of the GPU",
    Action.DRAIN: "drain the host for its restart or for the vendor",
}


@dataclass(frozen=True, slots=True)
class Row:
    """`action` for a `fault`, with its reason. `series` is the counter that grows, or none for an XID."""

    fault: str
    action: Action
    reason: str
    series: str = XID_SERIES
    xid: int = 0


def _xid(code: int, action: Action, reason: str) -> Row:
    return Row(f"XID {code}", action, reason, xid=code)


ROWS = (
    _xid(13, Action.RESTART, "a program broke the rules of the graphics engine"),
    _xid(31, Action.RESTART, "a program touched memory that it does not have"),
    _xid(43, Action.IGNORE, "the driver ended a program's channel; it follows from another fault"),
    _xid(45, Action.IGNORE, "the driver cleaned up after a program that ended"),
    _xid(48, Action.RESET, "an error in memory that ECC cannot correct"),
    _xid(62, Action.RESET, "the GPU's controller halted"),
    _xid(63, Action.IGNORE, "a row is remapped at the next reset, which can wait for a quiet hour"),
    _xid(64, Action.DRAIN, "a row could not be remapped: the GPU may have to be replaced"),
    _xid(68, Action.RESTART, "a program broke the video engine's rules"),
    _xid(69, Action.RESTART, "a program used a class of the graphics engine wrongly"),
    _xid(74, Action.DRAIN, "an error of NVLink, which concerns several GPUs or a switch"),
    _xid(79, Action.DRAIN, "the GPU fell off the bus: only a restart of the host can bring it back"),
    _xid(92, Action.IGNORE, "many errors that ECC corrected"),
    _xid(94, Action.RESTART, "an uncorrectable error that only one program met"),
    _xid(95, Action.RESET, "an uncorrectable error that may have reached every program"),
    _xid(119, Action.RESET, "the GPU's system processor does not answer"),
    _xid(120, Action.RESET, "the GPU's system processor failed"),
    _xid(140, Action.RESET, "an error in memory that was not recovered"),
    _xid(143, Action.RESET, "the GPU could not be initialised"),
    Row(
        "a double-bit error",
        Action.RESET,
        "an error in memory that ECC cannot correct",
        "serving:gpu_double_bit_errors:total",
    ),
    Row(
        "a remapped row",
        Action.IGNORE,
        "it counts from the next reset on, which can wait for a quiet hour",
        "serving:gpu_remapped_rows:total",
    ),
    Row("a failed remapping", Action.DRAIN, "no spare rows are left", "serving:gpu_row_remap_failed:bool"),
    Row(
        "a recovery of NVLink",
        Action.DRAIN,
        "the fabric's fault may lie in a switch or another GPU",
        "serving:gpu_nvlink_recoveries:total",
    ),
)
OF_XID = {row.xid: row for row in ROWS if row.xid}
OF_SERIES = {row.series: row for row in ROWS if not row.xid}


def unknown(xid: int) -> Row:
    """Row of an XID that the table does not have: it is told, and nothing is done."""
    return Row(f"XID {xid}", Action.IGNORE, "the table does not know it", xid=xid)


def text() -> str:
    """The table in Markdown."""
    lines = ["| fault | action | because |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {row.fault} | {row.action.words} | {row.reason} |" for row in ROWS)])
