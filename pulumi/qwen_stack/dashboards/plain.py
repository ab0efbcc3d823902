"""Pages as `qwen-runtime dashboards` reads them: titles, units and queries, without what Grafana adds."""

from __future__ import annotations

import json
from dataclasses import asdict

from qwen_stack.dashboards.pages import PAGES


def text(scrape_seconds: int) -> str:
    """JSON of every page, and of the time between two measurements, from which the window of rates follows."""
    return json.dumps({"scrape_seconds": scrape_seconds, "pages": [asdict(page) for page in PAGES]}, indent=1) + "\n"
