"""Lines of the stack are found afterwards: one request by its id in every part, and nothing that a user said."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from lab.cluster.ask import ENDPOINT
from lab.cluster.stack import NAMESPACE
from lab.hosts import inventory
from lab.machine import ports
from lab.paths import API_KEY
from qwen_stack.specs.monitoring.logs import FAILED_REQUESTS
from tests.support.waiting import wait_until

Search = Callable[[str], list[dict[str, Any]]]
Kubectl = Callable[..., str]
CONTAINER, POD = "kubernetes.container_name", "kubernetes.pod_name"
REFERENCE = "model-server-reference"


def complete(model: str, prompt: str, **headers: str) -> tuple[int, str]:
    """Status of an answer, and the id that the gateway gave the request."""
    body = json.dumps({"model": model, "prompt": prompt, "max_tokens": 2}).encode()
    sent = {"Authorization": f"Bearer {API_KEY.read_text().strip()}", "Content-Type": "application/json", **headers}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{ENDPOINT}/completions", body, sent), timeout=60
        ) as answer:
            return int(answer.status), answer.headers["x-request-id"]
    except urllib.error.HTTPError as error:
        return error.code, error.headers["x-request-id"]


def test_a_request_is_found_by_one_id_and_one_trace_at_the_gateway_and_at_the_engine(
    search: Search, model: str
) -> None:
    trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    said = f"zebra{secrets.token_hex(8)}"
    for name, server in ((model, "model-server"), (f"{model}-reference", REFERENCE)):
        status, request = complete(name, said, traceparent=trace)
        assert status == 200
        query = f'_time:10m request_id:="{request}"'
        wait_until(lambda query=query: len(search(query)) >= 2, "a line of each part")  # type: ignore[misc]
        lines = {line[CONTAINER]: line for line in search(query)}
        assert lines.keys() == {"gateway", "model-server"}
        assert {line["traceparent"] for line in lines.values()} == {trace}
        assert lines["model-server"][POD].startswith(server)
        assert {line["status"] for line in lines.values()} == {"200"}
    assert search(f"_time:10m {said}") == [], "no word of a prompt"
    assert search(f'_time:10m "{API_KEY.read_text().strip()}"') == []


def test_the_runbooks_query_finds_a_request_that_failed(search: Search, model: str, kubectl: Kubectl) -> None:
    scale = ("--namespace", NAMESPACE, "scale", f"deployment/{REFERENCE}")
    kubectl(*scale, "--replicas=0")
    try:
        wait_until(lambda: complete(f"{model}-reference", "Hi")[0] == 503, "a model without a replica")
        _, request = complete(f"{model}-reference", "Hi")
        found = f'{FAILED_REQUESTS} request_id:="{request}"'
        wait_until(lambda: search(found), "the gateway's line")
        [line] = search(found)
        assert (line["client"], line["path"], line["status"]) == ("lab", "/v1/completions", "503")
    finally:
        kubectl(*scale, "--replicas=1")
        kubectl("--namespace", NAMESPACE, "rollout", "status", f"deployment/{REFERENCE}", "--timeout=300s")
    pods = {line[POD] for line in search(f"_time:1h {POD}:{REFERENCE}* | fields {POD}")}
    assert len(pods) >= 2, "lines of the pod that is gone too"


def test_lines_of_every_host_are_kept_and_of_no_other_namespace(search: Search) -> None:
    nodes = "_time:1h | stats by (kubernetes.pod_node_name) count() lines"
    wait_until(lambda: {line["kubernetes.pod_node_name"] for line in search(nodes)} == set(inventory.hosts()), nodes)
    spaces = search("_time:1h | stats by (kubernetes.pod_namespace) count() lines")
    assert {line["kubernetes.pod_namespace"] for line in spaces} == {NAMESPACE}


def test_prometheus_watches_the_server_and_each_collector(search: Search) -> None:
    def up(job: str) -> int:
        query = urllib.parse.urlencode({"query": f'up{{job="{job}"}} == 1'})
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.PROMETHEUS}/api/v1/query?{query}", timeout=10) as answer:
            return len(json.load(answer)["data"]["result"])

    wait_until(lambda: (up("logs"), up("log-collector")) == (1, len(inventory.hosts())), "every target of logs")
