"""Models that the lab serves, by the names that the package has for them."""

from __future__ import annotations

import pytest

from lab.errors import LabError
from lab.mirror import models


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    assert models.resolve("smollm2") == "smollm2-135m-instruct"
    with pytest.raises(LabError, match=r"qwen2\.5-coder-1\.5b"):
        models.resolve("gpt-5")
