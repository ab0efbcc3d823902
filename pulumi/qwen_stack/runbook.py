"""Write docs/operate/runbook.md from the alerts of the example stack.

PYTHONPATH=pulumi:python/src python -m qwen_stack.runbook
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from qwen_stack import config
from qwen_stack.specs.alerts import alert_rules
from qwen_stack.specs.alerts.alert import RUNBOOK, Alert

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# Runbook

A section for each alert, written from `pulumi/qwen_stack/specs` by `python -m qwen_stack.runbook` with the values of
`pulumi/Pulumi.example.yaml`. `<namespace>` is that of the stack. [alerts.md](alerts.md) says how alerts work.
"""
# The example has no keys, since they are secrets; no alert depends on one.
KEYS = {"apiKeys": {"example": "a-client-" * 3}, "engineKeys": ["an-engine-" * 3]}


def example_alerts() -> list[Alert]:
    written = yaml.safe_load((config.PROGRAM / "Pulumi.example.yaml").read_text())["config"]
    values = {key.partition(":")[2]: value for key, value in written.items()}
    # Alerts of what the example leaves out have their sections too.
    values["models"] = [{**model, "autoscaling": {"min": 2}} for model in values["models"]]
    limits = {**values["gateway"]["limits"], "keys": {"example": {"class": "batch"}}}
    values["gateway"] = {**values["gateway"], "limits": limits}
    values["evaluation"] = {"key": "example", "hardware": "any", "endpoint": "https://example.internal"}
    values["monitoring"] = {**values["monitoring"], "remoteWriteUrl": "https://example.internal"}
    return alert_rules.alerts(config.parse({**values, **KEYS}))


def page(alerts: Sequence[Alert]) -> str:
    return HEAD + "".join(section(alert) for alert in alerts)


def section(alert: Alert) -> str:
    when = "at once" if alert.holds == "0m" else f"after {alert.holds}"
    return f"""
## {alert.name}

{alert.severity}, for {alert.owner}, {when}.

- Impact: {alert.impact}
- Needed: {alert.needed}.
- Look: {alert.look}.
- Do: {alert.remedy}

```promql
{alert.expression}
```
"""


def main() -> None:
    (ROOT / RUNBOOK).write_text(page(example_alerts()))


if __name__ == "__main__":
    main()
