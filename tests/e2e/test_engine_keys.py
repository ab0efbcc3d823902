"""A request that reaches an engine by another way than the gateway is refused, by both engines."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from lab.cluster.stack import NAMESPACE
from lab.paths import API_KEY

ASK = """
import json, sys, urllib.error, urllib.request
key, *paths = json.loads(sys.argv[1])
answers = {}
for path in paths:
    method, _, where = path.partition(" ")
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
    data = b'{"prompt": "1, 2,", "max_tokens": 1}' if method == "POST" else None
    request = urllib.request.Request("http://127.0.0.1:8080" + where, data, headers, method=method)
    try:
        answers[path] = urllib.request.urlopen(request, timeout=60).status
    except urllib.error.HTTPError as error:
        answers[path] = error.code
print(json.dumps(answers))
"""
COMPUTE = ("POST /v1/completions", "POST /v1/responses", "POST /tokenize", "POST /invocations", "GET /v1/models/x")
TELL = ("GET /health", "GET /metrics", "GET /v1/models")


@pytest.mark.parametrize("server", ["model-server", "model-server-reference"])
def test_an_engine_answers_nobody_but_the_gateways(kubectl: Callable[..., str], server: str) -> None:
    question = json.dumps([API_KEY.read_text().strip(), *COMPUTE, *TELL])
    inside = ("exec", f"deployment/{server}", "--container", "model-server", "--", "python", "-c", ASK, question)
    answers = json.loads(kubectl("--namespace", NAMESPACE, *inside))
    assert answers == dict.fromkeys(COMPUTE, 401) | dict.fromkeys(TELL, 200)
