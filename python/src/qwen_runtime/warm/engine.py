"""The engine that is warmed, asked directly: by no proxy, and with the standard library alone."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen_runtime.errors import HostError, UsageError

LONGEST_S = 600.0
"""Patience for one answer; some kernels take minutes to compile."""
ANSWER_BYTES = 1 << 20
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Answer:
    seconds: float
    fault: str = ""
    """Words of the engine where it did not answer; empty where it did."""
    refused: bool = False
    """Whether the engine has no such thing (a status from 400 to 499), rather than failed."""


class Engine:
    def __init__(self, url: str, headers: Mapping[str, str], model: str | None = None) -> None:
        """url: up to and including /v1. model: its first one where None. UsageError or HostError where it has none."""
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"endpoint {url!r}", "http://HOST:PORT/v1 or https://HOST/v1", "Correct the address.")
        self._url, self._headers = url.rstrip("/"), {**headers, "Content-Type": "application/json"}
        entry = self._choose(model)
        self.model = str(entry["id"])
        context = entry.get("max_model_len")
        self.context_tokens = context if isinstance(context, int) and context > 0 else None

    def ask(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Sends a request and reads its answer to the end. What goes wrong is told, never raised."""
        begun, fault, refused = time.monotonic(), "", False
        try:
            with _DIRECT.open(self._request(path, body), timeout=LONGEST_S) as answer:
                while answer.read(ANSWER_BYTES):
                    pass
        except urllib.error.HTTPError as error:
            with error:
                fault, refused = f"{error.code} {_words(error.read(ANSWER_BYTES))}", 400 <= error.code < 500
        except (OSError, http.client.HTTPException) as error:
            fault = f"no answer ({error or type(error).__name__})"
        return Answer(time.monotonic() - begun, fault, refused)

    def _request(self, path: str, body: Mapping[str, Any] | None = None) -> urllib.request.Request:
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.Request(self._url + path, data=data, headers=self._headers)

    def _choose(self, model: str | None) -> dict[str, Any]:
        try:
            with _DIRECT.open(self._request("/models"), timeout=LONGEST_S) as answer:
                listed = [dict(entry) for entry in json.load(answer)["data"]]
            names = [str(entry["id"]) for entry in listed]
        except urllib.error.HTTPError as error:
            with error:
                found = f"{self._url}/models answered {error.code} {_words(error.read(ANSWER_BYTES))}"
            raise UsageError(found, "200 and a list of models", "Correct address or key.") from error
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"{self._url}/models is no list of models ({error!r})",
                "an OpenAI-compatible endpoint there",
                "Correct --endpoint, or see whether the engine runs.",
            ) from error
        if not names or (model is not None and model not in names):
            raise UsageError(
                f"{self._url} serves {', '.join(names) or 'no model'}", model or "a model to warm", "Correct --model."
            )
        return listed[names.index(model) if model else 0]


def _words(body: bytes) -> str:
    """The message of an error in OpenAI's shape, or the body's beginning."""
    try:
        text = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = body.decode(errors="replace")
    return " ".join(text.split())[:200]
