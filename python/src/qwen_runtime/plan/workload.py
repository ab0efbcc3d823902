"""Workloads: what developers send in the busy hour, with profiles whose figures come from published measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_TEAMS = "https://docs.anthropic.com/en/docs/claude-code/costs, recommended requests a minute by size of team"
_TRACELAB = "https://arxiv.org/abs/2606.30560, 357,161 steps of coding agents in daily use"
_AGENTX = "https://github.com/SemiAnalysisAI/InferenceX/issues/1632, replayed sessions of coding agents"
_MOONCAKE = "https://github.com/kvcache-ai/Mooncake, FAST25-release, means of 12,031 requests of conversations"
# Its paper (Splitwise, arXiv 2311.18677) gives medians, 1,500 and 13; how busy hosts are follows from means.
_AZURE = "https://github.com/Azure/AzurePublicDataset, means of 8,819 requests for code of 2023"
USUAL_PROFILE = "agent"
_ASSUMED = "an assumption: nobody has published it"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a profile, and its source."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of use. Tokens are those of one turn: a request with its answer."""

    turns_per_hour: tuple[tuple[float, Figure], ...]
    """Turns of one developer in the busy hour, those who rest included: the largest team, and its figure."""
    input_tokens: Figure
    output_tokens: Figure
    cached_share: Figure
    """Share of the prompt that an earlier turn of the same conversation has left in the prefix cache."""
    wait_s: Figure
    """Mean time between an answer and the next turn of its conversation: tools, or people."""
    first_token_s: Figure
    """Longest time to the first token that users accept."""
    context_tokens: int
    """Longest prompt and answer together."""

    def turns(self, developers: int) -> Figure:
        return next(figure for largest, figure in self.turns_per_hour if developers <= largest)


_EVERYBODY = float("inf")
PROFILES = {
    "agent": Profile(
        turns_per_hour=tuple(
            (largest, Figure(turns, _TEAMS))
            for largest, turns in ((5, 360), (20, 180), (50, 90), (100, 45), (500, 25), (_EVERYBODY, 18))
        ),
        input_tokens=Figure(40_000, f"{_TEAMS}: tokens a minute over requests a minute, in every row"),
        output_tokens=Figure(520, _TRACELAB),
        # Between two others: 0.96 in _TRACELAB, 0.66 to 0.70 where _AGENTX is cut at 131,072 tokens.
        cached_share=Figure(0.86, _AGENTX),
        wait_s=Figure(17, f"{_TRACELAB}: time in tools for each step"),
        first_token_s=Figure(5, "a choice: a third of what tools take between two turns"),
        context_tokens=131_072,
    ),
    "chat": Profile(
        turns_per_hour=((_EVERYBODY, Figure(12, _ASSUMED)),),
        input_tokens=Figure(12_035, _MOONCAKE),
        output_tokens=Figure(343, _MOONCAKE),
        cached_share=Figure(0.37, f"{_MOONCAKE}: blocks of 512 tokens that an earlier request has in its beginning"),
        wait_s=Figure(84, f"{_TRACELAB}: median time until people answer"),
        first_token_s=Figure(2, "a choice"),
        context_tokens=65_536,
    ),
    "completion": Profile(
        turns_per_hour=((_EVERYBODY, Figure(120, _ASSUMED)),),
        input_tokens=Figure(2048, _AZURE),
        output_tokens=Figure(28, _AZURE),
        cached_share=Figure(0, "none: the text before the cursor changes with every request"),
        wait_s=Figure(30, "3600 s over the turns an hour"),
        first_token_s=Figure(0.3, "a choice: people type on"),
        context_tokens=8192,
    ),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """The busy hour of a team."""

    developers: int
    profile: str
    turns_per_hour: float
    input_tokens: int
    output_tokens: int
    cached_share: float
    wait_s: float
    first_token_s: float
    sources: tuple[tuple[str, str], ...]
    """Name of each figure that is the profile's, and its source."""

    @property
    def turns_per_s(self) -> float:
        return self.developers * self.turns_per_hour / 3600


def of_team(developers: int, profile: str, given: Mapping[str, float | None]) -> Workload:
    """The workload of a team: the figures that are given (None: not given), and the profile's for the others."""
    known = PROFILES[profile]
    figures = {
        "turns_per_hour": known.turns(developers),
        "input_tokens": known.input_tokens,
        "output_tokens": known.output_tokens,
        "cached_share": known.cached_share,
        "wait_s": known.wait_s,
        "first_token_s": known.first_token_s,
    }
    own = {name: value for name, value in given.items() if value is not None}
    taken = {name: figure.value for name, figure in figures.items()} | own
    return Workload(
        developers,
        profile,
        turns_per_hour=taken["turns_per_hour"],
        input_tokens=int(taken["input_tokens"]),
        output_tokens=int(taken["output_tokens"]),
        cached_share=taken["cached_share"],
        wait_s=taken["wait_s"],
        first_token_s=taken["first_token_s"],
        sources=tuple((name, figure.source) for name, figure in figures.items() if name not in own),
    )
