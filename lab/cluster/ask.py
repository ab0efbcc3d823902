"""One real question through the gateway, with the client library that users have."""

from __future__ import annotations

import time

import openai

from lab.errors import LabError
from lab.machine import ports
from lab.mirror.client import wait_for
from lab.mirror.models import SERVING
from lab.paths import API_KEY

ENDPOINT = f"http://127.0.0.1:{ports.GATEWAY}/v1"


def wait(seconds: int = 600) -> None:
    """Wait until each gateway has a model server that is ready. After a power cut they load their weights again."""
    health = ENDPOINT.removesuffix("/v1") + "/health"
    # Each request goes to a gateway at random: ten in a row very probably reach all of them.
    remedy = "look at `make status` and the model servers' logs"
    wait_for(health, "the gateway", remedy, seconds=seconds, answers=10)


def ask(model: str) -> str:
    """Stream an answer to the terminal; returns its number of tokens and its times."""
    client = openai.OpenAI(base_url=ENDPOINT, api_key=API_KEY.read_text().strip(), timeout=120)
    question = SERVING[model].question
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
