"""JSON over HTTP to the two servers that the controller asks: the cluster's API and Prometheus."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

from qwen_runtime.repair.events import Samples, Series
from qwen_runtime.repair.table import OF_SERIES, XID_SERIES

TIMEOUT_S = 10
# Kubernetes puts them into each pod whose account may ask the API.
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "https://kubernetes.default.svc"


class Unreachable(Exception):
    """A server gave no answer that can be used."""


class Refused(Exception):
    """The API answered, and refused."""

    def __init__(self, status: int, said: str) -> None:
        self.status = status
        super().__init__(f"{status}: {said}")


class Api:
    """The cluster's API, as the account of this pod; at another address without an account, for `kubectl proxy`."""

    def __init__(self, url: str = IN_CLUSTER, account: Path = ACCOUNT) -> None:
        self._url = url
        self._account = account if url == IN_CLUSTER else None

    def list(self, path: str, **query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.ask("GET", f"{path}?{urllib.parse.urlencode(query)}")["items"]
        return items

    def ask(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        headers = {"Content-Type": content, "Accept": "application/json"}
        context = None
        if self._account:
            # The kubelet renews both files.
            headers["Authorization"] = f"Bearer {(self._account / 'token').read_text()}"
            context = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
        data = None if body is None else json.dumps(body).encode()
        return _json(urllib.request.Request(self._url + path, data, headers, method=method), context)


class Prometheus:
    def __init__(self, url: str) -> None:
        self._url = url

    def now_s(self) -> float:
        """Time of Prometheus' own clock, by which its samples are dated."""
        return float(self._query("time()")["result"][0])

    def series(self, window_s: int) -> list[Series]:
        """Series of the table over the last `window_s` seconds."""
        names = "|".join((XID_SERIES, *OF_SERIES))
        found = self._query(f'{{__name__=~"{names}"}}[{window_s}s]')["result"]
        return [_series(one["metric"], one["values"]) for one in found]

    def _query(self, expression: str) -> Any:
        query = urllib.parse.urlencode({"query": expression})
        answer = _json(urllib.request.Request(f"{self._url}/api/v1/query?{query}"), None)
        try:
            return answer["data"]
        except (KeyError, TypeError) as problem:
            raise Unreachable(f"{self._url}: no data in its answer") from problem


def _series(labels: dict[str, str], values: list[tuple[float, str]]) -> Series:
    samples: Samples = [(float(at_s), float(value)) for at_s, value in values]
    return Series(labels["__name__"], labels.get("node", ""), labels.get("gpu", ""), samples)


def _json(request: urllib.request.Request, context: ssl.SSLContext | None) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace")
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unreachable(f"{request.full_url}: {error.code} {said}") from error
        raise Refused(error.code, said) from error
    except (OSError, ValueError) as error:
        raise Unreachable(f"{request.full_url}: {error}") from error
