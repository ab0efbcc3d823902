"""The supervisor keeps its promises to probes, to clients and to the host, whatever the engine does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client import get
from tests.support.processes import runs
from tests.support.runtime import Runtime, runtimes
from tests.support.waiting import wait_until

Start = Callable[..., Runtime]


@pytest.fixture
def start(tmp_path: Path, model_dir: Path) -> Iterator[Start]:
    with runtimes(tmp_path, model_dir, signal.SIGTERM, signal.SIGTERM) as make:
        yield make


def stream(runtime: Runtime, seconds: float) -> tuple[threading.Thread, list[str]]:
    """Asks for a stream in the background; the list holds the answer once the thread has ended."""
    answer: list[str] = []

    def ask() -> None:
        try:
            answer.append(get(runtime.port, f"/stream?seconds={seconds}")[1])
        except OSError as error:
            answer.append(f"cut off: {error}")
        except Exception as error:
            answer.append(f"cut off: {error!r}")

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: " 1.0" in get(runtime.port, "/metrics")[1], "the stream's begin")
    return thread, answer


def test_ready_follows_the_engine_and_the_log_is_json_lines(start: Start) -> None:
    runtime = start()
    runtime.wait_ready()
    assert (runtime.health("startup"), runtime.health("live"), runtime.health("nothing")) == (200, 200, 404)
    assert runtime.events() == ["verified", "engine-started", "ready"]
    [engine_line] = [entry["message"] for entry in runtime.log() if entry["source"] == "engine"]
    assert "--served-model-name tiny" in engine_line
    runtime.signal(signal.SIGTERM)
    assert runtime.wait() == 0


def test_an_engine_that_serves_another_model_is_never_ready(start: Start) -> None:
    runtime = start(engine=("--served-model-name", "other"))
    wait_until(lambda: runtime.health("live") == 200, "live")
    wait_until(lambda: "lists ['other']" in get(runtime.health_port, "/health/ready")[1], "the reason")
    assert (runtime.health("ready"), runtime.health("startup"), runtime.health("live")) == (503, 503, 200)


def test_ready_is_lost_while_the_engine_answers_with_errors_and_comes_back(start: Start) -> None:
    runtime = start()
    runtime.wait_ready()
    get(runtime.port, "/health?status=503", "POST")
    wait_until(lambda: runtime.health("ready") == 503, "not ready")
    assert "/health answers 503" in get(runtime.health_port, "/health/ready")[1]
    assert runtime.health("live") == 200
    get(runtime.port, "/health?status=200", "POST")
    wait_until(lambda: runtime.health("ready") == 200, "ready again")


def test_sigterm_ends_readiness_at_once_and_lets_streams_end(start: Start) -> None:
    runtime = start("--drain-seconds", "60")
    runtime.wait_ready()
    thread, answer = stream(runtime, 60)
    runtime.signal(signal.SIGTERM)
    wait_until(lambda: runtime.health("ready") == 503, "not ready")
    assert (runtime.health("startup"), runtime.health("live")) == (200, 200)
    assert "draining" in get(runtime.health_port, "/health/ready")[1]
    assert get(runtime.port, "/v1/models")[0] == 200, "a request that was on its way is still answered"
    get(runtime.port, "/finish", "POST")
    assert runtime.wait() == 0
    thread.join()
    assert answer[0].endswith("done\n")
    assert runtime.events()[-2:] == ["draining", "stopped"]


def test_streams_that_outlast_the_deadline_are_cut_and_said_to_be(start: Start) -> None:
    runtime = start("--drain-seconds", "1")
    runtime.wait_ready()
    thread, answer = stream(runtime, 60)
    runtime.signal(signal.SIGTERM)
    assert runtime.wait() == 0
    thread.join()
    assert "done" not in answer[0]
    assert runtime.events()[-3:] == ["draining", "drain-deadline", "stopped"]


def test_a_second_signal_ends_it_without_waiting_for_streams(start: Start) -> None:
    runtime = start("--drain-seconds", "600")
    runtime.wait_ready()
    thread, _ = stream(runtime, 600)
    runtime.signal(signal.SIGTERM)
    wait_until(lambda: runtime.health("ready") == 503, "not ready")
    runtime.signal(signal.SIGINT)
    assert runtime.wait() == 0
    thread.join()
    assert runtime.events()[-1] == "cut"


def test_an_engine_that_ignores_sigterm_is_killed(start: Start) -> None:
    runtime = start(engine=("--fake-deaf",))
    runtime.wait_ready()
    engine = runtime.engine_pid()
    runtime.signal(signal.SIGTERM)
    assert runtime.wait() == 0
    assert not runs(engine)
    assert runtime.events()[-1] == "killed"


def test_sigterm_before_ready_does_not_wait_for_requests_that_cannot_exist(start: Start) -> None:
    runtime = start("--drain-seconds", "600", engine=("--fake-silent",))
    wait_until(lambda: runtime.health("live") == 200, "live")
    runtime.signal(signal.SIGTERM)
    assert runtime.wait() == 0
    assert runtime.events()[-1] == "stopped"


def test_a_crashed_engine_ends_the_server_with_the_reason_and_no_orphan(start: Start, tmp_path: Path) -> None:
    runtime = start(engine=("--fake-orphan", str(tmp_path / "orphan")))
    runtime.wait_ready()
    orphan = int((tmp_path / "orphan").read_text())
    assert runs(orphan)
    with pytest.raises(ConnectionError):
        get(runtime.port, "/die", "POST")
    assert runtime.wait() == 5
    assert not runs(orphan)
    assert f"engine process {runtime.engine_pid()} was killed by SIGKILL without being asked to" in runtime.errors()
    assert runtime.events()[-1] == "engine-died"


def test_an_engine_that_moves_no_token_while_a_request_runs_is_ended_with_the_reason(start: Start) -> None:
    runtime = start("--stall-seconds", "1")
    runtime.wait_ready()
    engine = runtime.engine_pid()
    get(runtime.port, "/hang", "POST")
    thread, _ = stream(runtime, 60)
    assert runtime.wait() == 5
    thread.join()
    assert not runs(engine)
    assert "1 request(s) and no token for" in runtime.errors()
    assert runtime.events()[-1] == "engine-stalled"


def test_an_engine_that_is_stopped_in_its_tracks_is_ended_too(start: Start) -> None:
    runtime = start()
    runtime.wait_ready()
    engine = runtime.engine_pid()
    os.kill(engine, signal.SIGSTOP)
    assert runtime.wait() == 5
    assert not runs(engine)
    assert f"process {engine} of the engine has been stopped by a signal" in runtime.errors()


def test_a_worker_that_is_stopped_in_its_tracks_ends_the_engine_before_any_request_suffers(
    start: Start, tmp_path: Path
) -> None:
    runtime = start(engine=("--fake-orphan", str(tmp_path / "worker")))
    runtime.wait_ready()
    worker = int((tmp_path / "worker").read_text())
    os.kill(worker, signal.SIGSTOP)
    assert runtime.wait() == 5
    assert not runs(worker)
    assert f"process {worker} of the engine has been stopped by a signal" in runtime.errors()


def test_an_engine_that_accepts_questions_and_answers_none_is_ended_too(start: Start) -> None:
    runtime = start("--stall-seconds", "1")
    runtime.wait_ready()
    engine = runtime.engine_pid()
    get(runtime.port, "/mute", "POST")
    assert runtime.wait() == 5
    assert not runs(engine)
    assert "the engine has not answered for" in runtime.errors()


def test_a_slow_stream_is_busy_and_not_stalled(start: Start) -> None:
    runtime = start("--stall-seconds", "1")
    runtime.wait_ready()
    thread, answer = stream(runtime, 4)
    thread.join()
    assert answer[0].endswith("done\n")
    assert runtime.health("live") == 200


def test_an_engine_that_refuses_to_start_is_reported_with_its_exit_code(start: Start) -> None:
    runtime = start(engine=("--fake-exit", "7"))
    assert runtime.wait() == 5
    assert "exited with code 7 without being asked to" in runtime.errors()
    assert any(entry["source"] == "engine" for entry in runtime.log()), "the engine's own words come first"


def test_the_reason_ends_with_the_error_that_the_engine_logged(start: Start, tmp_path: Path) -> None:
    """vLLM's server ends with code 0 when its engine has died."""
    (tmp_path / "words").write_text("torch._inductor.exc.InductorError: InvalidCxxCompiler: none\nINFO: complete.\n")
    runtime = start(engine=("--fake-words", str(tmp_path / "words"), "--fake-exit", "0"))
    assert runtime.wait() == 5
    errors = runtime.errors()
    assert "exited with code 0 without being asked to; the last error in its log, " in errors
    assert " s before: InductorError: InvalidCxxCompiler: none" in errors


def test_a_killed_supervisor_does_not_leave_the_engine_running(start: Start) -> None:
    runtime = start()
    runtime.wait_ready()
    engine = runtime.engine_pid()
    runtime.signal(signal.SIGKILL)
    runtime.wait()
    wait_until(lambda: not runs(engine), "the engine's end")


def test_a_thousand_clients_that_send_nothing_keep_no_probe_from_its_answer(start: Start) -> None:
    runtime = start()
    runtime.wait_ready()
    with contextlib.ExitStack() as silent:
        for _ in range(1000):
            silent.enter_context(socket.create_connection(("127.0.0.1", runtime.health_port)))
        assert runtime.health("ready") == 200
        files = len(os.listdir(f"/proc/{runtime.process.pid}/fd"))
        threads = len(os.listdir(f"/proc/{runtime.process.pid}/task"))
        assert (files < 200, threads < 20) == (True, True), "the engine's own needs must not run short"
    runtime.signal(signal.SIGTERM)
    assert runtime.wait() == 0
    assert runtime.errors() == ""


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"POST /health/live HTTP/1.1\r\n\r\n", b"405"), (b"\xff\xff\r\n\r\n", b""), (b"x" * 100_000, b"")],
    ids=["another method", "no HTTP", "no end"],
)
def test_what_is_no_probe_is_refused_or_dropped(start: Start, sent: bytes, status: bytes) -> None:
    runtime = start()
    runtime.wait_ready()
    with socket.create_connection(("127.0.0.1", runtime.health_port)) as client:
        with contextlib.suppress(OSError):
            client.sendall(sent)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = client.recv(100)
        assert answer[9:12] == status
    assert runtime.health("live") == 200


def test_the_health_port_tells_prometheus_what_no_engine_tells(start: Start) -> None:
    runtime = start()
    runtime.wait_ready()
    status, text = get(runtime.health_port, "/metrics")
    assert status == 200
    assert 'qwen_runtime_state{state="ready"} 1' in text
    assert 'qwen_runtime_state{state="dead"} 0' in text
    assert "qwen_runtime_start_seconds " in text
    [started] = [line for line in text.splitlines() if line.startswith("qwen_runtime_started_at_seconds ")]
    assert 0 <= time.time() - float(started.split()[1]) < 600
