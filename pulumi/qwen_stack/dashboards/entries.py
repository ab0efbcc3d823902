"""Dashboards that compare: entries of one name with each other, and replicas with what their work asks for."""

from __future__ import annotations

from qwen_stack.dashboards.panels import RATE, Page, Panel, Row

MODEL = '{model_name=~"$model_name"}'
PLANNED = f"serving:planned_replicas:replicas{MODEL}"
OF_MODEL = f"and on (server) {PLANNED}"
ENTRY = "{{server}}"


def _late(histogram: str) -> tuple[tuple[str, str], ...]:
    """High quantile of a histogram for each entry."""
    summed = f"sum by (server, le) (rate({histogram}_bucket{MODEL}[{RATE}]))"
    return ((f"histogram_quantile(0.95, {summed})", ENTRY),)


def _answers(classes: str) -> str:
    return f'sum by (server) (rate(serving:gateway_server_answers:total{{class=~"{classes}"}}[{RATE}]))'


A_AGAINST_B = Page(
    "qwen-entries",
    "A against B",
    "Entries that share a name, side by side: what users get from each, and what it takes.",
    (
        Row(
            "What users get",
            (
                Panel("Answers", "reqps", ((f"{_answers('2xx|3xx|4xx|5xx')} {OF_MODEL}", ENTRY),)),
                Panel(
                    "Errors",
                    "percentunit",
                    ((f"1 - {_answers('2xx|3xx')} / {_answers('2xx|3xx|5xx')} {OF_MODEL}", ENTRY),),
                    "Share of the answers that are errors of the site.",
                ),
                Panel("First token, P95", "s", _late("serving:time_to_first_token:seconds")),
            ),
        ),
        Row(
            "How it answers",
            (
                Panel("Between two tokens, P95", "s", _late("serving:inter_token_latency:seconds")),
                Panel("Whole answer, P95", "s", _late("serving:request_latency:seconds")),
                Panel(
                    "Tokens of an answer",
                    "short",
                    (
                        (
                            f"sum by (server) (rate(serving:generation_tokens:total{MODEL}[{RATE}])) "
                            f"/ sum by (server) (rate(serving:finished:total{MODEL}[{RATE}]))",
                            ENTRY,
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "What it takes",
            (
                Panel(
                    "Requests in flight",
                    "short",
                    ((f"sum by (server) (serving:gateway_requests_running:requests) {OF_MODEL}", ENTRY),),
                ),
                Panel(
                    "Replicas",
                    "short",
                    (
                        (PLANNED, f"{ENTRY} planned"),
                        (f'sum by (server) (serving:state{{state="ready"}}) {OF_MODEL}', f"{ENTRY} ready"),
                    ),
                ),
                Panel(
                    "KV cache in use",
                    "percentunit",
                    ((f"avg by (server) (serving:kv_cache_used:ratio{MODEL})", ENTRY),),
                ),
            ),
        ),
    ),
    ("model_name", "serving:planned_replicas:replicas"),
)
AUTOSCALING = Page(
    "qwen-autoscaling",
    "Autoscaling",
    "Work, the replicas that it asks for, and those there are. The series exist for models with autoscaling.",
    (
        Row(
            "Replicas",
            (
                Panel(
                    "Asked for and there",
                    "short",
                    (
                        ("serving:wanted_replicas:replicas", f"{ENTRY} its work asks for"),
                        (
                            'sum by (server) (serving:state{state="ready"}) and on (server) serving:demand:requests',
                            f"{ENTRY} ready",
                        ),
                        ("serving:most_replicas:replicas", f"{ENTRY} planned at most"),
                        (
                            "serving:planned_replicas:replicas and on (server) serving:most_replicas:replicas",
                            f"{ENTRY} planned at least",
                        ),
                    ),
                    width=12,
                ),
                Panel(
                    "Models of which nobody knows the work",
                    "short",
                    (
                        (
                            "count(serving:most_replicas:replicas) - (count(serving:demand:requests) or vector(0))",
                            "blind",
                        ),
                    ),
                    "Their number of replicas stays as it is: a gateway or a replica does not answer Prometheus.",
                    12,
                ),
            ),
        ),
        Row(
            "Work",
            (
                Panel(
                    "Requests in flight for each replica",
                    "short",
                    (
                        (
                            'serving:demand:requests / on (server) sum by (server) (serving:state{state="ready"})',
                            ENTRY,
                        ),
                        ("serving:requests_per_replica:requests", f"{ENTRY} planned"),
                    ),
                ),
                Panel("KV caches in use, as replicas", "short", (("serving:kv_pressure:replicas", ENTRY),)),
                Panel(
                    "Requests that wait",
                    "short",
                    (
                        (
                            "sum by (server) (serving:requests_waiting:requests) "
                            "and on (server) serving:most_replicas:replicas",
                            ENTRY,
                        ),
                    ),
                ),
            ),
        ),
    ),
)
