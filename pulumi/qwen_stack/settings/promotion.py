"""The part of the configuration that decides which entry may answer most of a name's requests."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qwen_stack.settings.section import Section


class Evidence(Section):
    """Files with results of `qwen-runtime`, from the folder pulumi/ or by their absolute paths."""

    baseline: str
    """`evaluate humaneval` of the entry that answers now."""
    candidate: str
    """The same of this entry."""
    load: str
    """`bench` of this entry."""
    tools: str | None = None
    """`evaluate tools` of this entry."""
    across: tuple[Literal["model", "hardware", "load", "harness"], ...] = ()
    """Differences between baseline and candidate that are meant, as in `qwen-runtime compare`."""


class Override(Section):
    """A promotion that is made although its conditions are not met."""

    by: str = Field(min_length=1)
    """Person who promotes this entry although a condition of its promotion is not met."""
    because: str = Field(min_length=1)
    """The reason, which the preview shows and the output `serving` keeps."""


class Promotion(Section):
    """Conditions under which an entry may answer more than a trial's share of a name."""

    trial_percent: int = Field(default=10, ge=0, le=50)
    """Share of a name's requests that an entry may have without evidence."""
    keep: float = Field(default=0.95, gt=0, lt=1)
    """Share of the baseline's score that the whole interval must keep."""
    attainment: float = Field(default=0.95, gt=0, lt=1)
    """Share of the requests under load that must keep their SLO."""
    fresh_days: int = Field(default=14, ge=1)
    """Age at which results no longer count."""
