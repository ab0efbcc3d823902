"""A stand-in for the cluster's API: objects by their paths, with the API's answers to what may not be."""

from __future__ import annotations

import copy
import json
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.web import Quiet, served


@dataclass
class Cluster:
    """`objects` by path, such as /api/v1/nodes/gpu1. `asked` is every request that is no reading. A budget forbids to
    evict the `protected` pods."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    protected: set[str] = field(default_factory=set)
    down: bool = False
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, path: str, **body: Any) -> None:
        name = path.rsplit("/", 1)[1]
        known = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
        if "/namespaces/" in path:
            known["namespace"] = path.split("/")[4]
        self.objects[path] = {**body, "metadata": {**known, **body.get("metadata", {})}}

    def named(self, prefix: str) -> list[dict[str, Any]]:
        return [body for path, body in self.objects.items() if path.startswith(prefix)]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        url = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if method != "GET":
            self.asked.append((method, url.path, body))
        if self.down:
            return 503, {"message": "the server is currently unable to handle the request"}
        if method == "GET":
            if url.path in self.objects:
                return 200, self.objects[url.path]
            return self._listed(url.path, query)
        if method == "DELETE":
            return (200, self.objects.pop(url.path)) if url.path in self.objects else (404, {"message": url.path})
        if method == "PATCH":
            return self._patched(url.path, body)
        if url.path.endswith("/eviction"):
            return self._evicted(url.path.removesuffix("/eviction"))
        if method == "POST":
            at = f"{url.path}/{body['metadata']['name']}"
            if at in self.objects:
                return 409, {"message": f"{at} already exists"}
            namespace = url.path.split("/")[4] if "/namespaces/" in url.path else None
            self.objects[at] = {**body, "metadata": {**body["metadata"], "namespace": namespace}}
            return 201, body
        return 405, {"message": f"{method} is not known to this stand-in"}

    def _listed(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Objects of a path; /api/v1/pods are those of all namespaces. One name that is not there is 404."""
        if path.split("/")[-2] in ("configmaps", "nodes", "secrets"):
            return 404, {"message": f"{path} not found"}
        kind = path.rsplit("/", 1)[1]
        below = [
            of
            for at, of in self.objects.items()
            if at.rsplit("/", 1)[0] == path or (path == f"/api/v1/{kind}" and at.split("/")[-2] == kind)
        ]
        node = query.get("fieldSelector", "").partition("spec.nodeName=")[2]
        chosen = [of for of in below if not node or of["spec"].get("nodeName") == node]
        return 200, {"items": [of for of in chosen if _selected(of, query.get("labelSelector", ""))]}

    def _evicted(self, pod: str) -> tuple[int, Any]:
        if pod not in self.objects:
            return 404, {"message": f"{pod} not found"}
        if pod in self.protected:
            return 429, {"message": "Cannot evict pod as it would violate the pod's disruption budget."}
        self.objects[pod]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return 201, {}

    def _patched(self, path: str, operations: list[dict[str, Any]]) -> tuple[int, Any]:
        """JSON patch (RFC 6902), whole or not at all."""
        changed = copy.deepcopy(self.objects[path])
        for one in operations:
            *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in one["path"].split("/")[1:]]
            at: Any = changed
            for part in parents:
                at = at[int(part) if isinstance(at, list) else part]
            if one["op"] == "test":
                if at.get(last) != one["value"]:
                    return 409, {"message": f"the object has been modified: {one['path']}"}
            elif one["op"] == "remove":
                del at[int(last) if isinstance(at, list) else last]
            elif isinstance(at, list):
                at.insert(len(at) if last == "-" else int(last), one["value"])
            else:
                at[last] = one["value"]
        changed["metadata"]["resourceVersion"] = str(int(changed["metadata"]["resourceVersion"]) + 1)
        self.objects[path] = changed
        return 200, changed


@contextmanager
def cluster() -> Iterator[Cluster]:
    known = Cluster()

    class Handler(Quiet):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = known.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

    with served(Handler) as port:
        known.port = port
        yield known


def _selected(body: dict[str, Any], selector: str) -> bool:
    labels = body["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, _, value in (one.partition("=") for one in selector.split(",") if one))
