"""Messages have the same three parts in the same layout, whichever program ends with them."""

from __future__ import annotations

import pytest
from qwen_runtime import errors
from qwen_runtime.errors import Fault, UsageError

from images.catalog import ImageError
from lab.errors import LabError


@pytest.mark.parametrize("kind", [UsageError, ImageError, LabError])
def test_every_program_lays_its_message_out_alike(kind: type[UsageError | ImageError | LabError]) -> None:
    assert str(kind("port 80 in use", "a free port", "Name another.")) == (
        "found:  port 80 in use\nneeded: a free port\nremedy: Name another."
    )


def test_a_fault_among_several_takes_one_line_and_names_its_subject() -> None:
    fault = Fault("config.json", "nothing", "the model's configuration", "Stage it.")
    assert str(fault) == f"config.json: {errors.one_line('nothing', fault.needed, fault.remedy)}"
    assert "\n" not in str(fault)
