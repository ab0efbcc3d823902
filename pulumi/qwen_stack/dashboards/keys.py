"""The dashboard of the clients' keys, for those who pay and those who send the bill."""

from __future__ import annotations

from qwen_stack.dashboards.panels import Page, Panel, Row, total

KEYS = Page(
    "qwen-keys",
    "Keys",
    "Use of each client's key. The series exist where gateway.limits is set, because the limiter keeps the bill.",
    (
        Row(
            "Tokens",
            (
                Panel(
                    "Tokens of an hour",
                    "short",
                    (("sum by (key, kind) (increase(serving:key_tokens:total[1h]))", "{{key}} {{kind}}"),),
                    width=12,
                ),
                Panel(
                    "Tokens of a day for each model",
                    "short",
                    (("sum by (key, model_name) (increase(serving:key_tokens:total[1d]))", "{{key}} {{model_name}}"),),
                    width=12,
                ),
            ),
        ),
        Row(
            "Requests",
            (
                Panel("Ended", "reqps", ((total("serving:key_requests:total", "sum by (key)"), "{{key}}"),)),
                Panel(
                    "Refused",
                    "reqps",
                    ((total("serving:key_refused:total", "sum by (key, limit)"), "{{key}}: {{limit}}"),),
                ),
                Panel(
                    "In flight and waiting",
                    "short",
                    (
                        ("sum by (key) (serving:key_in_flight:requests)", "{{key}} in flight"),
                        ("sum by (key) (serving:key_waiting:requests)", "{{key}} waits"),
                    ),
                ),
            ),
        ),
    ),
)
