"""Time to the first token of one key beside another that floods, with and without limits at the gateway.

    make bench BENCH=fairness [ARGS="--streams 200 --samples 20"]

The stand-in engine runs so many streams at once and lets the others wait in order of arrival, as engines do. One key
asks for one stream after the other, first alone, then while another key keeps 200 streams open. Expected with limits:
less than 10 % above alone (median). The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.arms import machine, proxies
from tests.gateway.site import KEY
from tests.support.ports import free_port

ENGINE = Path(__file__).resolve().parents[1] / "fakes/fast_engine.py"
SLOTS, EVENTS, PAUSE_MS = 32, 8, 100
BODY = b'{"stream": true, "max_tokens": 8}'
QUIET, FLOODING = KEY, KEY[::-1]
SETTLE_S = 3.0


async def first_token_s(port: int, key: str) -> float:
    """Asks for one stream and reads it; returns the seconds to its first event."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n"
        f"x-events: {EVENTS}/{PAUSE_MS}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    begun_s = time.monotonic()
    writer.write(head.encode() + BODY)
    try:
        await reader.readuntil(b"data:")
        first_s = time.monotonic() - begun_s
        await reader.read(-1)
        return first_s
    finally:
        writer.close()


async def flood(port: int) -> None:
    """Keeps one stream open, as far as the gateway lets it."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await first_token_s(port, FLOODING)
        await asyncio.sleep(0.05)


async def sampled_ms(port: int, samples: int) -> float:
    return round(statistics.median([await first_token_s(port, QUIET) for _ in range(samples)]) * 1000, 2)


async def measured(port: int, streams: int, samples: int) -> dict[str, float]:
    alone_ms = await sampled_ms(port, samples)
    flooding = [asyncio.create_task(flood(port)) for _ in range(streams)]
    await asyncio.sleep(SETTLE_S)
    beside_ms = await sampled_ms(port, samples)
    for task in flooding:
        task.cancel()
    await asyncio.gather(*flooding, return_exceptions=True)
    return {"alone_ms": alone_ms, "beside_ms": beside_ms, "ratio": round(beside_ms / alone_ms, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--samples", type=int, default=20)
    options = parser.parse_args()
    print(machine.describe())
    results: dict[str, dict[str, float]] = {}
    arms = {"gateway": proxies.gateway, "limited": functools.partial(proxies.limited, slots=SLOTS)}
    for name, started in arms.items():
        engine = free_port()
        with contextlib.ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(proxies.process(place / "engine", engine, sys.executable, ENGINE, engine, SLOTS))
            (place / name).mkdir()
            arm = stack.enter_context(started(place / name, engine))
            results[name] = asyncio.run(measured(arm.port, options.streams, options.samples))
        print(f"{name:10}" + "".join(f"  {key} {value:10.2f}" for key, value in results[name].items()), flush=True)
    settings = {"streams": options.streams, "slots": SLOTS, "first_event_ms": PAUSE_MS}
    print(json.dumps({"benchmark": "fairness", "machine": machine.describe(), **settings, "results": results}))


if __name__ == "__main__":
    main()
