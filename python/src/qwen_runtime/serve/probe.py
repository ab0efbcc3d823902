"""Questions to the engine: can it serve the model, and what do its metrics say."""

from __future__ import annotations

import http.client
import json

MAX_ANSWER_BYTES = 1 << 20


def find_obstacle(port: int, served_model_name: str | None, timeout_s: float = 5.0) -> str | None:
    """None once /health is 200 and /v1/models lists the model; otherwise what is in the way.

    No name: the model was listed before, and only /health is asked. TimeoutError where the engine accepted the question
    and did not answer in time.
    """
    try:
        status, _ = _get(port, "/health", timeout_s)
        if status != 200:
            return f"the engine's /health answers {status}"
        if served_model_name is None:
            return None
        status, body = _get(port, "/v1/models", timeout_s)
        names = [model["id"] for model in json.loads(body)["data"]] if status == 200 else []
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException) as error:
        return f"the engine does not answer on port {port} ({type(error).__name__})"
    except (ValueError, KeyError, TypeError) as error:
        return f"the engine's /v1/models is not a list of models ({error!r})"
    if served_model_name not in names:
        return f"the engine's /v1/models answers {status} and lists {names}, not {served_model_name!r}"
    return None


def read_metrics(port: int, timeout_s: float = 5.0) -> str | None:
    """The engine's /metrics; None where it does not answer."""
    try:
        status, body = _get(port, "/metrics", timeout_s)
    except (OSError, http.client.HTTPException):
        return None
    return body.decode(errors="replace") if status == 200 else None


def _get(port: int, path: str, timeout_s: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(MAX_ANSWER_BYTES)
    finally:
        connection.close()
