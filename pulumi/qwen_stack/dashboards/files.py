"""Files for Grafana: each dashboard as JSON, and the provisioning that loads them and names Prometheus; and the pages
of `qwen-runtime dashboards`."""

from __future__ import annotations

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from qwen_stack.dashboards import plain
from qwen_stack.dashboards.grafana import SOURCE, built
from qwen_stack.dashboards.pages import PAGES
from qwen_stack.settings.monitoring import Monitoring

PROMETHEUS = "http://prometheus:9090"
# Grafana's folder of provisioning, and where its file provider looks for the dashboards.
PROVISIONING, DASHBOARDS = "provisioning", "/var/lib/grafana/dashboards"


def written(prometheus: str = PROMETHEUS) -> dict[str, str]:
    """Text of each file by its path. `prometheus` is the address at which Grafana reaches Prometheus."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    pages = {f"dashboards/{page.uid}.json": encoder.encode(built(page).build()) + "\n" for page in PAGES}
    source = {
        "name": "Prometheus of qwen-onprem",
        "type": SOURCE.type_val,
        "uid": SOURCE.uid,
        "url": prometheus,
        "access": "proxy",
        "editable": False,
    }
    provider = {"name": "qwen-onprem", "type": "file", "folder": "qwen-onprem", "options": {"path": DASHBOARDS}}
    return {
        **pages,
        "pages.json": plain.text(Monitoring().scrape_seconds),
        f"{PROVISIONING}/datasources/qwen-onprem.yml": _yaml({"apiVersion": 1, "datasources": [source]}),
        f"{PROVISIONING}/dashboards/qwen-onprem.yml": _yaml({"apiVersion": 1, "providers": [provider]}),
    }


def _yaml(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False)
