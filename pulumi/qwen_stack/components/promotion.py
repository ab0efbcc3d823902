"""Promotions, judged before anything is registered, by what the stack's last run left as its output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi

from qwen_stack import promotions
from qwen_stack.settings.stack import Settings

OUTPUT = "serving"


class PromotionError(pulumi.RunError):
    """A promotion is not shown to be safe; pulumi prints the message without a traceback."""


def judged(settings: Settings, outputs: Mapping[str, Any], folder: Path) -> dict[str, promotions.Serving]:
    """The output `serving` of this run. Raises PromotionError with everything that speaks against its promotions.

    `outputs`: those of the stack's last run; one of an older program has no `serving`.
    """
    before = outputs.get(OUTPUT) or {}
    judgements = promotions.judge(settings, before, folder)
    refused = [problem for judgement in judgements if judgement.is_refused for problem in judgement.problems]
    if refused:
        lines = "\n".join(f"  {problem}" for problem in refused)
        raise PromotionError(f"{len(refused)} condition(s) of a promotion that are not met:\n{lines}")
    for judgement in judgements:
        override = judgement.promoted.model.override
        if override and judgement.problems:
            pulumi.log.warn(_overridden(judgement, override.by, override.because))
    for key in promotions.unused_overrides(settings, judgements):
        pulumi.log.warn(f"{key} overrides nothing: pulumi config rm --path {key}")
    return promotions.serving(settings, before, judgements)


def _overridden(judgement: promotions.Judgement, by: str, because: str) -> str:
    lines = "".join(f"\n  {problem}" for problem in judgement.problems)
    return f"{by} promotes {judgement.promoted}, because: {because}. Not met:{lines}"
