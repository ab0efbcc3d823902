"""Prefix-cache hits and first tokens of agents, with affinity at several bounds and by least request.

    make bench BENCH=affinity                       # four stand-in engines that model a prefix cache
    make bench BENCH=affinity ARGS="--engine vllm"  # two vLLM replicas with the model that `make up` converts

Agents share a system prompt; each sends its whole, growing history again, over two gateways in turn that know nothing
of each other. Halfway one of them is killed; one arm has a single gateway all the time. Shares of hits come from the
engines' own counters. Expected: affinity hits more than least request, and within two points of the single gateway's,
before and after the kill. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import http.server
import itertools
import json
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from qwen_stack.settings.stack import Gateway, GatewayAffinity
from tests.bench.arms import machine, model
from tests.gateway.site import CHAT, FOUR, KEY, ONE, THREE, TWO, Site, accepts, running
from tests.support.ports import free_port
from tests.support.server import Process
from tests.support.waiting import wait_for_engine, wait_until

FAKE = Path(__file__).resolve().parents[1] / "fakes/caching_engine.py"
COUNTERS = ("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total")
WORDS = ("def", "return", "while", "class", "import", "value", "index", "result", "buffer", "parser", "token", "error")
SINGLE = "one gateway"
ARMS = {
    "least request": GatewayAffinity(enabled=False),
    SINGLE: GatewayAffinity(),
    **{f"affinity {percent} %": GatewayAffinity(load_percent=percent) for percent in (125, 150, 200, 300, 1000)},
}


@dataclass(frozen=True, slots=True)
class Work:
    """Sizes of the load, in words, which are about as many tokens."""

    replicas: tuple[str, ...]
    agents: int
    turns: int
    system: int
    turn: int
    answer: int
    pause_s: float


WORK = {
    "stand-in": Work((ONE, TWO, THREE, FOUR), 32, 12, 3000, 300, 20, 0.4),
    "vllm": Work((ONE, TWO), 6, 8, 500, 60, 16, 1.0),
}


@dataclass
class Clients:
    """Agents, and the gateways that are left to them."""

    gateways: list[Site]
    model: str
    first_s: list[float] = field(default_factory=list)

    def turn(self, number: int, messages: list[dict[str, str]], answer: int) -> str:
        """The answer's text."""
        site = self.gateways[number % len(self.gateways)]
        body = {"model": self.model, "messages": messages, "max_tokens": answer, "stream": True, "temperature": 0}
        connection = http.client.HTTPConnection("127.0.0.1", site.api_port, timeout=300)
        with contextlib.closing(connection):
            begun = time.perf_counter()
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            connection.request("POST", CHAT, json.dumps(body), headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            pieces = []
            for line in response:
                if line.startswith(b"data: {"):
                    delta = json.loads(line[6:])["choices"][0]["delta"]
                    if delta.get("content"):
                        if not pieces:
                            self.first_s.append(time.perf_counter() - begun)
                        pieces.append(delta["content"])
        return "".join(pieces)


def text(words: int, chosen: random.Random) -> str:
    return " ".join(chosen.choices(WORDS, k=words))


def converse(clients: Clients, work: Work, histories: dict[int, list[dict[str, str]]], turns: int, seed: str) -> None:
    """All agents go on for so many turns, side by side, with pauses in which their tools would work."""

    def agent(number: int) -> None:
        chosen = random.Random(f"{seed} {number} {turns}")
        time.sleep(chosen.random() * work.pause_s * 2)
        for turn in range(turns):
            history = histories[number]
            history.append({"role": "user", "content": text(work.turn, chosen)})
            answer = clients.turn(number + turn, history, work.answer)
            history.append({"role": "assistant", "content": answer})
            time.sleep(chosen.expovariate(1 / work.pause_s))

    with ThreadPoolExecutor(work.agents) as threads:
        for done in [threads.submit(agent, number) for number in range(work.agents)]:
            done.result()


def counters(work: Work, port: int) -> list[tuple[float, float]]:
    """Queried and hit tokens of each replica so far."""
    values = []
    for address in work.replicas:
        connection = http.client.HTTPConnection(address, port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode()
        queried, hit = (
            sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", lines, re.MULTILINE))
            for name in COUNTERS
        )
        values.append((queried, hit))
    return values


def measured(work: Work, port: int, clients: Clients, act: Callable[[], None]) -> dict[str, float]:
    """Figures of what happens during an act."""
    before, begun = counters(work, port), time.perf_counter()
    clients.first_s.clear()
    act()
    wall_s = time.perf_counter() - begun
    queried, hit = zip(
        *((q - q0, h - h0) for (q, h), (q0, h0) in zip(counters(work, port), before, strict=True)), strict=True
    )
    times = sorted(clients.first_s)
    return {
        "hit_percent": round(100 * sum(hit) / sum(queried), 1),
        "first_p50_ms": round(statistics.median(times) * 1000, 1),
        "first_p90_ms": round(times[int(0.9 * len(times))] * 1000, 1),
        "busiest_over_mean": round(max(queried) * len(queried) / sum(queried), 2),
        "wall_s": round(wall_s, 1),
    }


@contextlib.contextmanager
def gateways(arm: str, work: Work, port: int, health: int, place: Path) -> Iterator[list[Site]]:
    affinity = ARMS[arm]
    settings = Gateway(affinity=affinity, threads=1)
    with contextlib.ExitStack() as stack:
        sites = []
        for number in range(1 if arm == SINGLE else 2):
            folder = place / f"gateway-{number}"
            folder.mkdir(parents=True)
            site = stack.enter_context(running(folder, settings, model_port=port, health_port=health))
            (folder / "models").write_text("\n".join(work.replicas))
            sites.append(site)
        for site in sites:
            wait_until(lambda site=site: site.model_servers() == len(work.replicas), "all replicas known")
        yield sites


def compare(work: Work, name: str, port: int, health: int, place: Path, rounds: int) -> dict[str, dict[str, object]]:
    """Figures of each arm before and after a gateway is killed; the median round counts."""
    results: dict[str, dict[str, list[dict[str, float]]]] = {arm: {"before": [], "after": []} for arm in ARMS}
    order = list(ARMS)
    for number in range(rounds):
        for arm in order:
            seed = f"round {number} of {arm}"
            system = {"role": "system", "content": seed + " " + text(work.system, random.Random(seed))}
            histories = {agent: [dict(system)] for agent in range(work.agents)}
            with gateways(arm, work, port, health, place / f"{number} {arm}") as sites:
                clients = Clients(sites, name)
                half = work.turns // 2
                for part in ("before", "after"):
                    act = lambda: converse(clients, work, histories, half, seed)  # noqa: B023, E731
                    results[arm][part].append(measured(work, port, clients, act))
                    if len(sites) > 1:
                        clients.gateways = sites[1:]
                        sites[0].gateway.kill()
        order.reverse()
    return {
        arm: {
            part: {key: round(statistics.median(figures[key] for figures in rows), 2) for key in rows[0]}
            for part, rows in parts.items()
        }
        for arm, parts in results.items()
    }


@contextlib.contextmanager
def stand_ins(work: Work, port: int, place: Path) -> Iterator[tuple[str, int]]:
    """Name of the model and port of health."""
    started = [Process(place / address, [FAKE, address, port], Path(sys.executable)) for address in work.replicas]
    try:
        for address in work.replicas:
            wait_until(lambda address=address: accepts(address, port), "a stand-in")
        yield "tiny", port
    finally:
        for process in started:
            process.end()


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def vllm(work: Work, port: int, place: Path) -> Iterator[tuple[str, int]]:
    """vLLM without the supervisor, which binds every address; its health is answered for it."""
    weights = model.copy_to(place)
    options = ["--served-model-name", "tiny", "--max-model-len", model.CONTEXT, "--enforce-eager", "--port", port]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1"}
    command = ["-m", "vllm.entrypoints.cli.main", "serve", weights, *options]
    started = [Process(place / f"{a}.log", [*command, "--host", a], **environment) for a in work.replicas]
    health = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Healthy)
    threading.Thread(target=health.serve_forever, daemon=True).start()
    try:
        for address, process in zip(work.replicas, started, strict=True):
            wait_for_engine(
                lambda address=address, process=process: process.process.poll() is not None or accepts(address, port),
                f"vLLM at {address}",
            )
            assert process.process.poll() is None, process.log()
        yield "tiny", health.server_port
    finally:
        health.shutdown()
        for process in started:
            process.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=WORK, default="stand-in")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    options = parser.parse_args()
    for arm in set(ARMS) - set(options.arms):
        del ARMS[arm]
    print(machine.describe())
    work, port = WORK[options.engine], free_port()
    start = {"stand-in": stand_ins, "vllm": vllm}[options.engine]
    with tempfile.TemporaryDirectory() as folder, start(work, port, Path(folder)) as (name, health):
        results = compare(work, name, port, health, Path(folder), options.rounds)
    for (arm, parts), part in itertools.product(results.items(), ("before", "after")):
        print(f"{arm:18}{part:8}" + "".join(f"  {key} {value:8}" for key, value in parts[part].items()))
    print(json.dumps({"benchmark": "affinity", "engine": options.engine, "rounds": options.rounds, "results": results}))


if __name__ == "__main__":
    main()
