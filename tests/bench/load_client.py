"""Own delay of `qwen-runtime bench`, beside guidellm and aiperf, on an endpoint whose pace is known.

    make bench BENCH=load_client [ARGS="--streams 500 --guidellm PROGRAM --aiperf PROGRAM --tokenizer FOLDER"]

A server in a process of its own gives the first token after half a second and then one every 100 ms, so that 500
streams are 5,000 events a second. What a client reports above that is delay of the client and of the server together,
the same server for each of them. Processor seconds are each arm's own. Expected of ours: below 5 ms at the 99th
percentile, where two cores are free, or with a real-time priority (`chrt -r 20`). The programs beside it are installed
by whoever wants to compare; both need a tokenizer's folder. The last line is JSON.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.arms import machine
from tests.support.ports import free_port

FIRST_S, GAP_S, TOKENS = 0.5, 0.1, 60
ROOT = Path(__file__).parents[2]
Figures = dict[str, float]


@contextmanager
def server() -> Iterator[str]:
    port = free_port()
    pace = ["--first-s", str(FIRST_S), "--gap-s", str(GAP_S)]
    process = subprocess.Popen([sys.executable, "-m", "tests.fakes.token_server", "--port", str(port), *pace], cwd=ROOT)
    try:
        for _ in range(100):
            time.sleep(0.1)
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                break
            except OSError:
                continue
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def own(url: str, streams: int, scratch: Path) -> Figures:
    output = scratch / "own.json"
    lengths = ["--input-tokens", "20", "--output-tokens", str(TOKENS)]
    arguments = ["--endpoint", f"{url}/v1", "--users", str(streams), "--sessions", str(2 * streams), *lengths]
    command = [sys.executable, "-m", "qwen_runtime", "bench", *arguments, "--hardware", "none", "--own-delay-s", "60"]
    subprocess.run([*command, "--output", output], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    document = json.loads(output.read_bytes())
    figures = document["figures"]
    return {
        "send_p99_ms": 1000 * document["own_delay"]["send_p99_s"],
        "notice_p99_ms": 1000 * document["own_delay"]["notice_p99_s"],
        "events_per_s": figures["output_tokens_per_s"],
        **over(figures["first_token_from_schedule_s"]["p99"], figures["inter_token_s"]["p99"]),
    }


def guidellm(program: Path, url: str, streams: int, tokenizer: Path, scratch: Path) -> Figures:
    output = scratch / "guidellm.json"
    parts = {
        "backend": f"kind=openai_http,target={url},model=fake",
        "profile": f"kind=concurrent,streams={streams}",
        "constraint": f"kind=max_requests,count={2 * streams}",
        "tokenizer": f"kind=hf_auto,model={tokenizer}",
        "data": f"kind=synthetic_text,prompt_tokens=20,output_tokens={TOKENS}",
        "output": f"kind=json,path={output}",
    }
    arguments = [word for name, text in parts.items() for word in (f"--{name}", text)]
    subprocess.run(
        [program, "run", *arguments, "--disable-console"], check=True, stdout=subprocess.DEVNULL, timeout=500
    )
    metrics = json.loads(output.read_bytes())["benchmarks"][0]["metrics"]
    first = metrics["time_to_first_token_ms"]["successful"]["percentiles"]["p99"]
    return over(first / 1000, metrics["inter_token_latency_ms"]["successful"]["percentiles"]["p99"] / 1000)


def aiperf(program: Path, url: str, streams: int, tokenizer: Path, scratch: Path) -> Figures:
    lengths = [
        "--synthetic-input-tokens-mean",
        "20",
        "--output-tokens-mean",
        str(TOKENS),
        "--output-tokens-stddev",
        "0",
    ]
    load = ["--concurrency", str(streams), "--request-count", str(2 * streams), "--streaming", *lengths]
    counted = ["--tokenizer", str(tokenizer), "--use-server-token-count", "--use-legacy-max-tokens", "--ui", "none"]
    where = ["-m", "fake", "--url", url, "--endpoint-type", "chat", "--artifact-dir", str(scratch / "aiperf")]
    subprocess.run([program, "profile", *where, *load, *counted], check=True, stdout=subprocess.DEVNULL, timeout=500)
    figures = json.loads((scratch / "aiperf/profile_export_aiperf.json").read_bytes())
    return over(figures["time_to_first_token"]["p99"] / 1000, figures["inter_token_latency"]["p99"] / 1000)


def over(first_s: float, gap_s: float) -> Figures:
    """Milliseconds by which the reported figures lie above the server's pace."""
    return {"first_token_over_p99_ms": 1000 * (first_s - FIRST_S), "gap_over_p99_ms": 1000 * (gap_s - GAP_S)}


def with_cost(measure: Callable[[], Figures]) -> Figures:
    """The figures of an arm, and the processor seconds of its processes, their start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = measure()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {**figures, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def told(name: str, figures: Figures) -> None:
    """An arm as soon as it is measured: another program may fail."""
    print(f"{name:<14}" + "  ".join(f"{key} {value:.1f}" for key, value in figures.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--guidellm", type=Path)
    parser.add_argument("--aiperf", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    options = parser.parse_args()
    print(f"{machine.describe()}, load {os.getloadavg()[0]:.1f}")
    arms: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder, server() as url:
        scratch = Path(folder)
        arms["qwen-runtime"] = with_cost(lambda: own(url, options.streams, scratch))
        told("qwen-runtime", arms["qwen-runtime"])
        for name, measure in (("guidellm", guidellm), ("aiperf", aiperf)):
            if program := getattr(options, name):
                ask = functools.partial(measure, program, url, options.streams, options.tokenizer, scratch)
                arms[name] = with_cost(ask)
                told(name, arms[name])
    rounded = {name: {key: round(value, 1) for key, value in figures.items()} for name, figures in arms.items()}
    print(
        json.dumps({"benchmark": "load_client", "machine": machine.describe(), "streams": options.streams, **rounded})
    )


if __name__ == "__main__":
    main()
