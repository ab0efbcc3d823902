"""Refusals: why a request gets no answer, in the shape that OpenAI's clients read and under vLLM's names."""

from __future__ import annotations

from typing import Any

TYPES = {
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    413: "PayloadTooLargeError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
    504: "TimeoutError",
}


class Refusal(Exception):
    """An answer other than 200; `cause` is its label among the metrics."""

    def __init__(self, status: int, cause: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.cause, self.message, self.param = status, cause, message, param

    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "BadRequestError")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.status}}

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"} if self.status == 429 else {}


def bad_request(message: str, param: str | None) -> Refusal:
    return Refusal(400, "bad_request", message, param)


def unknown_model(name: str, served: str) -> Refusal:
    return Refusal(404, "unknown_model", f"The model `{name}` does not exist; this server has `{served}`.", "model")


def too_large(limit_bytes: int) -> Refusal:
    return Refusal(413, "too_large", f"The body is larger than {limit_bytes} bytes, the most that is read.")


def queue_full(waiting: int) -> Refusal:
    return Refusal(429, "queue_full", f"{waiting} requests wait already; ask again in a moment.")


def too_slow(limit_s: float) -> Refusal:
    return Refusal(504, "timeout", f"The answer took longer than {limit_s:g} s, the most that a request may take.")


def engine_failed(reason: str) -> Refusal:
    return Refusal(500, "engine", f"The engine failed: {reason}")


def engine_dead(reason: str) -> Refusal:
    return Refusal(503, "engine_dead", f"The engine has ended: {reason}")
