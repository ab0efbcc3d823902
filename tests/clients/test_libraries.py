"""LangChain and LiteLLM at the gateway, in the environment that `make clients` installs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.commands.clients import LIBRARIES
from tests.clients.endpoint import Endpoint
from tests.gateway.site import needs_envoy
from tests.support.tool_calls import call
from tests.support.waiting import ENGINE_PATIENCE_S

pytestmark = [
    needs_envoy,
    pytest.mark.skipif(
        not LIBRARIES.exists(), reason="LangChain and LiteLLM are missing: `make clients` installs them"
    ),
]
QUESTION, SAID = "Rename it.", "Done: Größe, 漢字, 🙂."


@pytest.mark.parametrize("library", ["LangChain", "LiteLLM"])
def test_a_library_calls_a_tool_goes_on_and_streams(endpoint: Endpoint, tmp_path: Path, library: str) -> None:
    endpoint.play((QUESTION, call(path="a.py", line="3")), ("renamed", SAID), ("Say it.", SAID))
    settings = tmp_path / "settings.py"
    settings.write_text(endpoint.documented(f"## {library}\n"))
    program = Path(__file__).with_name(f"{library.lower()}_questions.py")
    # LiteLLM would fetch its table of prices.
    told = {"SSL_CERT_FILE": str(endpoint.ca), "SITE_LLM_KEY": endpoint.key, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(
        (LIBRARIES / "bin/python", program, settings, QUESTION),
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        check=False,
        timeout=ENGINE_PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert seen["calls"] == [["edit", {"path": "a.py", "line": 3}]]
    assert (seen["after"], seen["streamed"]) == (SAID, SAID)
    assert seen["generated"] > 1
