"""Promotions: which entries a change gives more than a trial's share of a name, and what speaks for them.

What was served before is the output `serving` of the stack's last successful run. An entry that served by right may
always be given its share again, so that going back asks for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_runtime.errors import Fault, UsageError

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Model, Settings

if TYPE_CHECKING:
    from qwen_runtime.gate import decision

# Entries of a name that served by right and are gone, and may come back without evidence.
REMEMBERED = 5
Serving = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Promoted:
    """An entry that a change promotes, in words."""

    position: int
    model: Model
    before_percent: int

    @property
    def identity(self) -> str:
        return identity(self.model)

    def __str__(self) -> str:
        return (
            f"{self.identity} from {self.before_percent} to {percent(self.model)} percent of {self.model.served_name}"
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """A promotion with everything that speaks against it."""

    promoted: Promoted
    problems: tuple[Problem, ...]

    @property
    def is_refused(self) -> bool:
        return bool(self.problems) and self.promoted.model.override is None

    @property
    def record(self) -> dict[str, Any]:
        """Entry of the output `serving`."""
        override = self.promoted.model.override if self.problems else None
        return {
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "entry": self.promoted.identity,
            "verdict": "overridden" if override else "promoted",
            **({"by": override.by, "because": override.because} if override else {}),
            "notMet": [str(problem) for problem in self.problems],
        }


def identity(model: Model) -> str:
    """The words that tell what answers: another server, other weights or another engine are another entry."""
    return f"{model.server} ({model.name} by {model.engine})"


def percent(model: Model) -> int:
    return 100 if model.weight is None else model.weight


def judge(settings: Settings, before: Mapping[str, Serving], folder: Path) -> list[Judgement]:
    """Judgements of everything that this change promotes. `folder` is where relative paths of results begin."""
    promoted = (
        _promoted(position, model, before, settings.promotion.trial_percent)
        for position, model in enumerate(settings.models)
    )
    return [Judgement(each, tuple(_problems(each, settings, folder))) for each in promoted if each]


def serving(settings: Settings, before: Mapping[str, Serving], judgements: list[Judgement]) -> dict[str, Serving]:
    """The output: shares of each name, the entries that serve it by right, and its last promotion."""
    return {name: _serving(settings, name, before.get(name), judgements) for name in _names(settings)}


def unused_overrides(settings: Settings, judgements: list[Judgement]) -> list[str]:
    """Keys of overrides that override nothing in this change."""
    used = {judgement.promoted.position for judgement in judgements if judgement.problems}
    return [
        f"models[{position}].override"
        for position, model in enumerate(settings.models)
        if model.override and position not in used
    ]


def _promoted(position: int, model: Model, before: Mapping[str, Serving], trial: int) -> Promoted | None:
    served = before.get(model.served_name)
    if served is None:
        return None  # nothing answered for this name, so that nobody is put aside
    had = int(served["percent"].get(identity(model), 0))
    rises = percent(model) > max(had, trial)
    return Promoted(position, model, had) if rises and identity(model) not in served["byRight"] else None


def _problems(promoted: Promoted, settings: Settings, folder: Path) -> Iterator[Problem]:
    model, key = promoted.model, f"models[{promoted.position}].evidence"
    if model.evidence is None:
        yield Problem(
            (key,),
            f"none, and this change raises {promoted}",
            "a fresh evaluation that keeps what the present entry does",
            "evaluate as docs/operate/release.md says, or name in override who promotes it all the same, and why",
        )
        return
    try:
        faults = _faults(model, settings, folder)
    except UsageError as error:
        faults = [Fault("", error.found, error.needed, error.remedy)]
    for fault in faults:
        yield Problem((f"{key}.{fault.subject}".rstrip("."),), fault.found, fault.needed, fault.remedy)


def _faults(model: Model, settings: Settings, folder: Path) -> list[Fault]:
    # Only a promotion pays for numpy and scipy.
    from qwen_runtime.compare import results
    from qwen_runtime.gate import decision

    files, promotion = model.evidence, settings.promotion
    assert files is not None
    evidence = decision.Evidence(
        baseline=results.read(folder / files.baseline, "humaneval"),
        candidate=results.read(folder / files.candidate, "humaneval"),
        load=results.read(folder / files.load, "bench"),
        tools=results.read(folder / files.tools, "tools") if files.tools else None,
    )
    fresh = timedelta(days=promotion.fresh_days)
    conditions = decision.Conditions(promotion.keep, promotion.attainment, fresh, files.across)
    faults = [*_of_this_entry(model, evidence), *decision.faults(evidence, conditions)]
    return [replace(fault, subject=_file(fault.subject)) for fault in faults]


def _file(subject: str) -> str:
    """The key whose result a fault is about; scores are the candidate's."""
    return subject if subject in ("baseline", "candidate", "load", "tools") else f"candidate {subject}"


def _of_this_entry(model: Model, evidence: decision.Evidence) -> Iterator[Fault]:
    """The candidate may have been measured by its variant, or under a name of its own before it shared one."""
    asked = [
        (result["subject"]["model"], result["subject"].get("variant"))
        for result in (evidence.candidate, evidence.baseline)
    ]
    own_name = f"{model.name}-{model.variant}" if model.variant else model.name
    if asked[0] not in {(model.served_name, model.variant), (model.name, None), (own_name, None)}:
        yield Fault(
            "candidate",
            f"a result of model {asked[0][0]!r}, variant {asked[0][1]!r}",
            f"one of {model.served_name!r}, variant {model.variant!r}",
            "Name the results of this entry.",
        )
    if evidence.baseline == evidence.candidate or (model.variant and asked[0] == asked[1]):
        yield Fault(
            "baseline",
            "a result of the candidate itself",
            "one of the entry that answers now",
            "Evaluate that entry, and name its result.",
        )


def _names(settings: Settings) -> list[str]:
    return list(dict.fromkeys(model.served_name for model in settings.models))


def _serving(settings: Settings, name: str, before: Serving | None, judgements: list[Judgement]) -> Serving:
    models = [model for model in settings.models if model.served_name == name]
    present = [identity(model) for model in models]
    trial = settings.promotion.trial_percent
    by_right = list(before["byRight"]) if before else [identity(model) for model in models if percent(model) > trial]
    new = [judgement for judgement in judgements if judgement.promoted.model.served_name == name]
    by_right = [*dict.fromkeys([*by_right, *(judgement.promoted.identity for judgement in new)])]
    gone = [each for each in by_right if each not in present][-REMEMBERED:]
    last = new[-1].record if new else (before or {}).get("lastPromotion")
    return {
        "percent": {identity(model): percent(model) for model in models},
        "byRight": [*gone, *(each for each in by_right if each in present)],
        **({"lastPromotion": last} if last else {}),
    }
