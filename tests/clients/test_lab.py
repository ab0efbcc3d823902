"""LangChain and LiteLLM at a lab that is up: its gateway, pods and real model, with the settings of docs/clients.md."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from lab.cluster.ask import ENDPOINT
from lab.commands.clients import LIBRARIES
from lab.paths import API_KEY, KUBECONFIG
from tests.clients.endpoint import documented
from tests.support.waiting import ENGINE_PATIENCE_S

pytestmark = [
    pytest.mark.skipif(not KUBECONFIG.exists(), reason=f"no lab is up: {KUBECONFIG} is missing"),
    pytest.mark.skipif(not LIBRARIES.exists(), reason="no libraries on this machine: `make clients` installs them"),
]
# What follows the settings: a streamed answer, and the tokens that its usage tells.
STREAMED = {
    "LangChain": """
pieces = list(chat.stream("Say hello."))
text = "".join(piece.content for piece in pieces)
used = next(piece.usage_metadata for piece in reversed(pieces) if piece.usage_metadata)["output_tokens"]
""",
    "LiteLLM": """
import litellm
ASK |= {"messages": [{"role": "user", "content": "Say hello."}], "stream_options": {"include_usage": True}}
pieces = list(litellm.completion(stream=True, **ASK))
text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
used = next(piece.usage for piece in reversed(pieces) if getattr(piece, "usage", None)).completion_tokens
""",
}


@pytest.mark.parametrize("library", STREAMED)
def test_a_library_streams_an_answer_of_the_real_model(library: str, model: str, tmp_path: Path) -> None:
    settings = documented(f"## {library}\n", ENDPOINT, model).replace("8192", "16")
    program = tmp_path / "program.py"
    program.write_text(f"{settings}{STREAMED[library]}import json\nprint(json.dumps([text, used]))\n")
    told = {"SITE_LLM_KEY": API_KEY.read_text().strip(), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(
        (LIBRARIES / "bin/python", program),
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        check=False,
        timeout=ENGINE_PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    text, used = json.loads(done.stdout.splitlines()[-1])
    assert text.strip()
    assert 0 < used <= 16
