"""Every model that the lab can serve makes a stack that is accepted, by a plan for the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.mirror import models
from qwen_stack import config


@pytest.mark.parametrize("name", models.SERVING)
def test_a_model_of_the_lab_is_served_by_its_plan(
    local: dict[str, Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LAB", tmp_path)
    [model] = config.parse({**local, "models": [{**local["models"][0], **models.serving(name)}]}).models
    assert model.plan is not None
    assert model.plan.document.model.lower() == model.name == name
    assert model.replicas == (2 if name == "smollm2-135m-instruct" else 1)
