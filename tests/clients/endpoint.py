"""The endpoint that clients are tried at: its address, key and settings, and what its model is told to say."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.gateway.site import KEY

MODEL = "qwen3-coder-480b"
CONTEXT = 65_536
DOCUMENTED_URL = "https://llm.site.example/v1"
PAGE = (Path(__file__).resolve().parents[2] / "docs/clients.md").read_text()


def documented(words: str, url: str, model: str) -> str:
    """The next block of docs/clients.md after these words, with another endpoint's address and model."""
    assert words in PAGE
    [block] = re.findall(r"```\w+\n(.*?)```", PAGE.partition(words)[2], re.DOTALL)[:1]
    return block.replace(DOCUMENTED_URL, url).replace(MODEL, model)


def now() -> str:
    """The time in the form of the gateway's log."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Endpoint:
    port: int
    folder: Path
    script: Path
    key: str = KEY

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/v1"

    @property
    def ca(self) -> Path:
        """Certificate of the authority that clients must trust."""
        return self.folder / "ca.crt"

    def play(self, *lines: tuple[str, str]) -> None:
        """Let the model answer by these: text of the last message, and the answer."""
        self.script.write_text(json.dumps([{"sees": sees, "says": says} for sees, says in lines]))

    def documented(self, words: str) -> str:
        """The next block of docs/clients.md after these words, for this endpoint."""
        return documented(words, self.url, MODEL)

    def logged(self, request: str) -> dict[str, Any]:
        """The line of a request in the gateway's log; empty until it is written, seconds after the answer."""
        return next((line for line in self.asked_since() if line["request_id"] == request), {})

    def asked_since(self, began: str = "") -> list[dict[str, Any]]:
        """Lines of the gateway's log, of requests that began then or later; those of earlier ones may come late."""
        lines = (self.folder / "gateway.log").read_text().splitlines()
        requests = [json.loads(line) for line in lines if line.startswith("{")]
        return [request for request in requests if request["time"] >= began]
