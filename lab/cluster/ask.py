"""One real question through the gateway, with the client that users have."""

from __future__ import annotations

import time

import openai

from lab.errors import LabError
from lab.mirror.server import wait_for
from lab.paths import API_KEY

ENDPOINT = "http://127.0.0.1:8080/v1"
QUESTIONS = {
    "smollm2-135m-instruct": "What is a server rack? Answer in one sentence.",
    "qwen2.5-coder-1.5b-instruct": "Write a Python function that tells whether a text is a palindrome. Only the code.",
}


def wait(seconds: int = 600) -> None:
    """Wait until each gateway has a model server that is ready: after a power cut they load their weights again."""
    health = ENDPOINT.removesuffix("/v1") + "/health"
    # Each request goes to one of the gateways by chance: this many in a row hardly all miss one of them.
    wait_for(health, "the gateway", seconds, "look at `make status` and the model servers' logs", answers=10)


def ask(model: str) -> str:
    """Stream an answer to the terminal; returns the figures of that one answer."""
    client = openai.OpenAI(base_url=ENDPOINT, api_key=API_KEY.read_text().strip(), timeout=120)
    question = QUESTIONS[model]
    print(f"      > {question}\n      ", end="", flush=True)
    begun = time.monotonic()
    first: float | None = None
    pieces = 0
    try:
        stream = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": question}], max_tokens=128, temperature=0, stream=True
        )
        for event in stream:
            piece = event.choices[0].delta.content if event.choices else None
            if piece:
                first = first or time.monotonic()
                pieces += 1
                print(piece.replace("\n", "\n      "), end="", flush=True)
    except openai.OpenAIError as problem:
        raise LabError(
            f"the endpoint did not answer: {problem}", "a streamed answer", "look at `make status` and the pods' logs"
        ) from problem
    print(flush=True)
    if first is None:
        raise LabError("an answer without a single token", "a streamed answer", "look at the model server's log")
    rate = pieces / max(time.monotonic() - first, 1e-9)
    return f"{pieces} tokens, first after {first - begun:.2f} s, then {rate:.0f} tokens/s"
