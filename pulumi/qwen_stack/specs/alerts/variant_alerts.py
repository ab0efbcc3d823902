"""Alert of entries that share a name: one of them, usually the canary, answers worse than the others."""

from __future__ import annotations

from qwen_runtime.engine.buckets import edge_label

from qwen_stack.settings.monitoring import Objectives
from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.alerts.slo_rules import LEAST_EVENTS

# An entry is worse where its share of bad answers is above this share and so many times that of the best entry.
ERRORS, SLOW, TIMES = 0.05, 0.1, 2
WINDOW = "15m"
# Its entries are alike in the name that clients ask for, which the gateway's own series do not have.
OF_MODEL = "on (server) group_left (model_name) (serving:planned_replicas:replicas ^ 0)"


def alerts(objectives: Objectives) -> list[Alert]:
    return [
        Alert(
            name="CanaryWorse",
            expression=f"{_worse(_errors(), ERRORS)} or on (server) {_worse(_slow(objectives), SLOW)}",
            holds="5m",
            severity="warning",
            owner="serving",
            summary="{{ $labels.server }} answers worse than another entry of {{ $labels.model_name }}",
            impact="Users whose requests it gets see errors or wait for their first token; the others' do not.",
            found=f"{{{{ $value | humanizePercentage }}}} of its answers within {WINDOW} are errors or began late",
            needed=f"at most {TIMES} times the best entry's share, and {ERRORS:.0%} errors or {SLOW:.0%} late more",
            remedy="Give its weight to the others (docs/operate/release.md); no pod starts for that.",
            look="the dashboard A against B; `serving:gateway_server_answers:total`; the gateway's log by `variant`",
        )
    ]


def _worse(share: str, bound: float) -> str:
    """Entries whose share of bad answers is above the bound and what the best entry of the same name allows."""
    named = f"({share} * {OF_MODEL})"
    return f"({named} > on (model_name) group_left () ({bound} + {TIMES} * min by (model_name) ({named})))"


def _errors() -> str:
    """Share of each entry's answers that are errors of the site."""
    good, asked = (
        f'sum by (server) (increase(serving:gateway_server_answers:total{{class=~"{classes}"}}[{WINDOW}]))'
        for classes in ("2xx|3xx", "2xx|3xx|5xx")
    )
    return f"(1 - ({good} or 0 * {asked}) / ({asked} > {LEAST_EVENTS}))"


def _slow(objectives: Objectives) -> str:
    """Share of each entry's requests whose first token came later than the site promises."""
    series = "serving:time_to_first_token:seconds"
    bucket = f'{series}_bucket{{le="{edge_label(objectives.first_token_seconds)}"}}'
    soon, every = (f"sum by (server) (increase({each}[{WINDOW}]))" for each in (bucket, f"{series}_count"))
    return f"(1 - {soon} / ({every} > {LEAST_EVENTS}))"
