"""Client of an OpenAI-compatible endpoint, for hosts that have the standard library alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from typing import Any

from qwen_runtime.errors import HostError, UsageError

Message = dict[str, str]


class Client:
    def __init__(self, endpoint: str, api_key: str, *, timeout_s: float = 600.0) -> None:
        """endpoint: URL up to and including /v1; timeout_s: the longest silence, not the longest answer."""
        if not endpoint.startswith(("http://", "https://")):
            raise UsageError(f"endpoint {endpoint!r}", "http://HOST:PORT/v1 or https://HOST/v1", "Correct the address.")
        self._endpoint, self._api_key, self._timeout_s = endpoint.rstrip("/"), api_key, timeout_s

    def list_models(self) -> list[str]:
        """Names of the models that the endpoint serves."""
        with self._open("/models") as answer:
            try:
                return [str(model["id"]) for model in json.load(answer)["data"]]
            except (ValueError, KeyError, TypeError) as error:
                raise HostError(
                    f"{self._endpoint}/models is not a list of models ({error!r})",
                    "an OpenAI-compatible endpoint",
                    "Correct the address.",
                ) from error

    def stream_chat(self, model: str, messages: list[Message], **fields: float) -> Generator[str, None, None]:
        """Pieces of the answer as they arrive; `fields` of the request, such as max_tokens. Raises HostError when the
        answer breaks off before its end."""
        question: dict[str, Any] = {"model": model, "messages": messages, "stream": True, **fields}
        with self._open("/chat/completions", question) as answer:
            yield from self._read_events(answer)

    def _read_events(self, answer: http.client.HTTPResponse) -> Iterator[str]:
        try:
            for line in answer:
                if not line.startswith(b"data:"):
                    continue  # an empty line, or a comment that keeps the connection alive
                data = line.decode(errors="replace").removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                event = json.loads(data)
                yield from (choice["delta"].get("content") or "" for choice in event["choices"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise self._broken_off(repr(error)) from error
        raise self._broken_off("it closed the connection")

    def _broken_off(self, found: str) -> HostError:
        return HostError(
            f"{self._endpoint} broke the answer off: {found}", "an answer that ends with [DONE]", "Ask again."
        )

    def _open(self, path: str, question: dict[str, Any] | None = None) -> contextlib.closing[http.client.HTTPResponse]:
        request = urllib.request.Request(
            self._endpoint + path,
            data=None if question is None else json.dumps(question).encode(),
            headers={"Authorization": f"Bearer {self._api_key}", "Content-Type": "application/json"},
        )
        try:
            return contextlib.closing(urllib.request.urlopen(request, timeout=self._timeout_s))
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise UsageError(
                    f"{self._endpoint}{path} answered {refusal.code}: {_reason(refusal.read())}",
                    "a request that the endpoint takes",
                    "Do what the answer says.",
                ) from refusal
        except (OSError, http.client.HTTPException) as error:
            raise HostError(
                f"{self._endpoint} does not answer ({error})",
                "an OpenAI-compatible endpoint there",
                "Correct --endpoint, or see whether the gateway runs.",
            ) from error


def _reason(body: bytes) -> str:
    """The message of an error in OpenAI's shape, or the body's beginning."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
