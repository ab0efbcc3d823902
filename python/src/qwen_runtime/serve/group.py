"""Nodes that hold one model together start, fail and end together.

Each follower's supervisor keeps one connection to the leader's supervisor. Both ends send a line of JSON every
HEARTBEAT_S. A supervisor that hears nothing for SILENCE_S, or loses the connection, ends with that reason, and its last
line says why. A follower joins once: it never comes back into a group that has lost it.

Lines: {"rank", "nodes", "model"} first, from a follower; {"state"} as heartbeat, the leader's being that of the whole
group; {"drain": why} from a follower that is to end; {"end": why, "orderly": bool} last. The port trusts its
network, as the engine's own rendezvous does; it is bounded in connections, in the length of a line and in patience.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

from qwen_runtime.serve import journal
from qwen_runtime.serve.events import Kind
from qwen_runtime.serve.health import Health, State

HEARTBEAT_S = 0.5
SILENCE_S = 3.5
"""A rank that is not heard for so long is lost: with the time that ending takes, a group ends within 5 s."""
HELLO_S = 2.0
FAREWELL_S = 1.0
MAX_LINE_BYTES = 4096
SPARE_CONNECTIONS = 16
"""Places for clients that have not said who they are, beyond one for each follower."""
Message = dict[str, Any]

Report = Callable[[Kind, str], None]
"""Tells the supervisor what happened to the group (Kind.LOST, DRAIN or END), and why."""


class Lost(Exception):
    """The other end of a connection is gone, or as good as gone."""


class Group:
    """The common part of both ends: one thread with an event loop."""

    def __init__(self, model: str, nodes: int, join_s: float) -> None:
        """model: its name and revision, the same on all nodes; join_s: how long to wait for the others."""
        self._model, self._nodes, self._join_s = model, nodes, join_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="group", daemon=True)
        self._peers: dict[int, asyncio.StreamWriter] = {}
        self._ended = False

    def start(self, health: Health, report: Report) -> None:
        """report is called on the group's own thread."""
        self._health, self._report = health, report
        self._thread.start()

    def end(self, reason: str, *, orderly: bool) -> None:
        """Tells the others that this rank ends, and why. Afterwards nothing is heard or said any more."""

        async def say() -> None:
            self._ended = True
            for peer in list(self._peers.values()):
                with contextlib.suppress(OSError):
                    _send(peer, {"end": reason, "orderly": orderly})
                    await peer.drain()

        if not self._ended and self._thread.is_alive():
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                asyncio.run_coroutine_threadsafe(say(), self._loop).result(FAREWELL_S)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._live())
        except Exception as error:
            self._lose(f"the group's connections failed ({error!r})")

    async def _live(self) -> None:
        raise NotImplementedError

    def _lose(self, reason: str) -> None:
        if not self._ended:
            self._report(Kind.LOST, reason)

    async def _converse(
        self,
        rank: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        hear: Callable[[Message], None],
    ) -> None:
        """Runs until either end closes. If the other end goes away without an orderly end, the group is lost."""
        beat = asyncio.ensure_future(self._beat(writer))
        try:
            while "end" not in (message := await _receive(reader, SILENCE_S, f"rank {rank}")):
                hear(message)
            self._hear_end(rank, message)
        except Lost as error:
            self._lose(str(error))
        finally:
            beat.cancel()
            self._peers.pop(rank, None)

    def _hear_end(self, rank: int, message: Message) -> None:
        reason = str(message["end"])
        if message.get("orderly"):
            self._report(Kind.END, f"rank {rank} ended: {reason}")
        else:
            self._lose(reason if reason.startswith("rank ") else f"rank {rank}: {reason}")

    async def _beat(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the reader finds out
            while True:
                _send(writer, {"state": self._health.state.value})
                await asyncio.sleep(HEARTBEAT_S)


class Leader(Group):
    """The leader's end. It waits for every follower at its port, and passes the end of one on to the others."""

    def __init__(self, model: str, nodes: int, join_s: float, port: int) -> None:
        super().__init__(model, nodes, join_s)
        self._port = port
        self._connections = 0

    async def _live(self) -> None:
        self._complete = asyncio.Event()
        server = await asyncio.start_server(self._welcome, "0.0.0.0", self._port, limit=MAX_LINE_BYTES)
        async with server:
            try:
                await asyncio.wait_for(self._complete.wait(), self._join_s)
            except (TimeoutError, asyncio.TimeoutError):
                self._lose(f"{self._missing()} did not join within {self._join_s:g} s")
            await asyncio.Event().wait()

    def find_missing(self) -> str | None:
        """The reason why the group can't serve yet; None once every rank has joined."""
        return None if len(self._peers) == self._nodes - 1 else f"{self._missing()} has not joined yet"

    def _missing(self) -> str:
        return f"rank {', '.join(str(rank) for rank in range(1, self._nodes) if rank not in self._peers)}"

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections < self._nodes + SPARE_CONNECTIONS:
                rank = await self._introduce(reader, writer)
                if rank is not None:
                    await self._converse(rank, reader, writer, self._hear)
        finally:
            self._connections -= 1
            writer.close()

    async def _introduce(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
        """The rank of a follower that belongs here. One that does not gets the reason; other clients get nothing."""
        try:
            hello = await _receive(reader, HELLO_S, "a client")
            rank = int(hello["rank"])
        except (Lost, KeyError, ValueError, TypeError):
            return None
        fault = self._fault(rank, hello)
        if fault:
            journal.event("rank-refused", fault)
            _send(writer, {"end": fault, "orderly": False})
            with contextlib.suppress(OSError):
                await writer.drain()
            return None
        self._peers[rank] = writer
        journal.event("rank-joined", f"rank {rank} of {self._nodes} joined", rank=rank)
        if len(self._peers) == self._nodes - 1:
            self._complete.set()
        return rank

    def _fault(self, rank: int, hello: Message) -> str | None:
        if hello.get("nodes") != self._nodes:
            return f"rank {rank} was started for {hello.get('nodes')} nodes, the leader for {self._nodes}"
        if hello.get("model") != self._model:
            return f"rank {rank} has {hello.get('model')}, the leader {self._model}"
        if not 0 < rank < self._nodes:
            return f"rank {rank} is not one of 1 to {self._nodes - 1}"
        if rank in self._peers:
            return f"rank {rank} has joined already"
        return None

    def _hear(self, message: Message) -> None:
        if "drain" in message:
            self._report(Kind.DRAIN, str(message["drain"]))


class Follower(Group):
    """A follower's end. It joins the leader, and shows the leader's state."""

    def __init__(self, model: str, nodes: int, join_s: float, rank: int, address: str, port: int) -> None:
        super().__init__(model, nodes, join_s)
        self._rank, self._address, self._port = rank, address, port

    def ask_drain(self, reason: str) -> None:
        """Asks the leader to let running requests end, and then to end the group."""

        def ask() -> None:
            if 0 in self._peers:
                _send(self._peers[0], {"drain": f"rank {self._rank}: {reason}"})
            else:  # no request runs yet
                self._report(Kind.END, reason)

        self._loop.call_soon_threadsafe(ask)

    async def _live(self) -> None:
        try:
            reader, writer, first = await asyncio.wait_for(self._join(), self._join_s)
        except (TimeoutError, asyncio.TimeoutError):
            at = f"{self._address}:{self._port}"
            self._lose(f"rank {self._rank} did not reach its leader at {at} within {self._join_s:g} s")
            return
        if "end" in first:
            self._hear_end(0, first)
            return
        self._peers[0] = writer
        self._hear(first)
        await self._converse(0, reader, writer, self._hear)

    async def _join(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Message]:
        """The connection, and the leader's first message on it. Without that message it tries again."""
        while True:
            # The leader is not there yet, or its name is not, or strangers hold all of its places.
            with contextlib.suppress(OSError, Lost):
                reader, writer = await asyncio.open_connection(self._address, self._port, limit=MAX_LINE_BYTES)
                with contextlib.ExitStack() as stack:
                    stack.callback(writer.close)
                    _send(writer, {"rank": self._rank, "nodes": self._nodes, "model": self._model})
                    first = await _receive(reader, SILENCE_S, "rank 0")
                    stack.pop_all()
                    return reader, writer, first
            await asyncio.sleep(HEARTBEAT_S)

    def _hear(self, message: Message) -> None:
        if message.get("state") == State.READY.value:
            self._health.move(State.READY, "the leader's engine answers")
        elif message.get("state") == State.DRAINING.value:
            self._health.move(State.DRAINING, "the leader is draining")


def _send(writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


async def _receive(reader: asyncio.StreamReader, patience_s: float, who: str) -> Message:
    """Raises Lost where the other end is silent, gone or not one of ours.

    Patience is counted in short waits, so that a supervisor which did not run for a while blames nobody for that time.
    """
    reading = asyncio.ensure_future(reader.readline())
    try:
        for _ in range(round(patience_s / HEARTBEAT_S)):
            if (await asyncio.wait({reading}, timeout=HEARTBEAT_S))[0]:
                break
        else:
            raise Lost(f"{who} has not been heard for {patience_s:g} s")
        line = reading.result()
        if not line.endswith(b"\n"):
            raise Lost(f"{who} broke its connection off")
        message = json.loads(line)
    except OSError as error:
        raise Lost(f"{who} broke its connection off ({type(error).__name__})") from error
    except ValueError as error:
        raise Lost(f"{who} sent what is no message ({error})") from error
    finally:
        reading.cancel()
    if not isinstance(message, dict):
        raise Lost(f"{who} sent what is no message")
    return message
