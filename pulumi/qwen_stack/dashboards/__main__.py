"""Write the dashboards, Grafana's provisioning, and the pages of `qwen-runtime dashboards` into a folder.

PYTHONPATH=pulumi:python/src python -m qwen_stack.dashboards FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

from qwen_stack.dashboards import files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder that gets the files; it need not exist")
    parser.add_argument("--prometheus", default=files.PROMETHEUS, help="address at which Grafana reaches Prometheus")
    options = parser.parse_args()
    for name, text in files.written(options.prometheus).items():
        path = options.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)


if __name__ == "__main__":
    main()
