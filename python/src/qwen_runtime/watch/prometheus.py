"""Questions to Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

from qwen_runtime.errors import HostError, UsageError

T = TypeVar("T")
TIMEOUT_S = 20
WRONG_QUERY = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)


@dataclass(frozen=True, slots=True)
class Series:
    """Labels of a series, and its samples as pairs of a time in seconds and a value."""

    labels: dict[str, str]
    samples: list[tuple[float, float]]


class Prometheus:
    """The server at an address such as http://prometheus:9090; `login` is USER:PASSWORD where it asks for one."""

    def __init__(self, url: str, login: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"Prometheus at {url!r}", "http://HOST:PORT or https://HOST", "Correct --prometheus.")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}

    def now(self, expression: str) -> list[Series]:
        """Each series of an expression with its one sample of now."""
        return self._ask(
            "query",
            lambda data: [Series(one["metric"], [_sample(one["value"])]) for one in data["result"]],
            query=expression,
        )

    def over(self, expression: str, start_s: float, end_s: float, step_s: int) -> list[Series]:
        """Each series of an expression between two times, with a sample for each step at most."""
        return self._ask(
            "query_range",
            lambda data: [Series(one["metric"], list(map(_sample, one["values"]))) for one in data["result"]],
            query=expression,
            start=start_s,
            end=end_s,
            step=step_s,
        )

    def values(self, label: str, series: str) -> list[str]:
        """Values of a label of a series, in order."""
        return self._ask(f"label/{urllib.parse.quote(label)}/values", sorted, **{"match[]": series})

    def _ask(self, path: str, read: Callable[[Any], list[T]], **query: Any) -> list[T]:
        """Reads an answer's `data`. HostError where there is none, UsageError for a login that is refused."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}", headers=self._headers
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return read(json.load(answer)["data"])
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
            said = getattr(error, "reason", None) or repr(error)
            raise HostError(
                f"no answer of Prometheus at {self.url} ({said})",
                "Prometheus' HTTP API there",
                "Correct --prometheus, or see whether it runs: kubectl -n NAMESPACE get pods",
            ) from error

    def _refused(self, error: urllib.error.HTTPError) -> UsageError | HostError:
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return UsageError(
                f"{self.url} answered {error.code}", "a login that it accepts", "Give --login-file with USER:PASSWORD."
            )
        said = error.read(300).decode(errors="replace")
        wanted = "a query that it takes" if error.code in WRONG_QUERY else "200 and data"
        return HostError(
            f"{self.url} answered {error.code}: {said}", wanted, "See the log of Prometheus, or correct --prometheus."
        )


def login(file: Path | None) -> str | None:
    """USER:PASSWORD from the first line of a file. Raises UsageError where it has none."""
    if file is None:
        return None
    try:
        first = (file.read_text().splitlines() or [""])[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {error}", "a file with USER:PASSWORD", "Correct --login-file.") from error
    if ":" not in first:
        raise UsageError(f"{file} without a colon in its first line", "USER:PASSWORD", "Correct the file.")
    return first


def _sample(pair: tuple[float, str]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
