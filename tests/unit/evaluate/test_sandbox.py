"""The sandbox, against code that wants out of it, wants more than it gets, or wants to be believed."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from qwen_runtime.errors import HostError
from qwen_runtime.evaluate.sandbox import LIMITS, WRITABLE_BYTES, CandidateError, Sandbox

SANDBOX = Sandbox(seconds=20)
MARK = "qwen-sandbox-test"


def ask(body: str, *arguments: object, sandbox: Sandbox = SANDBOX, before: str = "") -> object:
    """The result of `f`, whose body is given."""
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    program = f"import os, sys, socket, time, shutil\n{before}\ndef f(*a):\n{indented}\n"
    with sandbox.candidate(program, "f") as candidate:
        return candidate.call(*arguments)


def running(mark: str) -> bool:
    """Whether a process of the machine has the mark as its name."""
    return subprocess.run(["pgrep", "-f", f"^{mark} "], stdout=subprocess.DEVNULL).returncode == 0


def test_literals_go_in_and_come_out_as_they_are() -> None:
    values = (1, -2.5, "ü\n", None, True, [1, [2]], (3,), {"a": {4}}, b"x")
    assert ask("return a", *values) == values


def test_it_runs_without_privileges_and_apart_from_the_host() -> None:
    uid, pid, host = ask("return os.getuid(), os.getpid(), socket.gethostname()")  # type: ignore[misc]
    assert uid != 0
    assert pid < 10
    assert os.getpid() > 10 or host != socket.gethostname()
    assert ask("return open('/proc/self/status').read().split('CapEff:')[1].split()[0]") == "0" * 16


def test_a_fork_bomb_gets_few_processes_and_none_is_left() -> None:
    bomb = (
        f"while True:\n    try:\n        os.fork()\n    except OSError:\n        break\nsys.argv = {MARK!r}\nreturn 1"
    )
    assert ask(bomb) == 1
    count = "n = 0\ntry:\n    while os.fork():\n        n += 1\n    time.sleep(9)\nexcept OSError:\n    return n"
    made = ask(count)
    assert isinstance(made, int)
    assert made < 4


def test_a_process_that_leaves_its_session_ends_with_the_sandbox() -> None:
    ask(f"if os.fork() == 0:\n    os.setsid()\n    os.execv('/usr/bin/sleep', ['{MARK}', '600'])\ntime.sleep(0.3)")
    for _ in range(50):
        if not running(MARK):
            return
        time.sleep(0.1)
    pytest.fail("a process of the sandbox is left")


@pytest.mark.parametrize("before", ["", "while True: pass"])
def test_an_endless_loop_is_ended(before: str) -> None:
    with pytest.raises(CandidateError, match="took too long"):
        ask("while True: pass", sandbox=Sandbox(seconds=1), before=before)


def test_the_time_that_counts_is_the_programs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with the model would otherwise count against the model."""
    monkeypatch.setitem(LIMITS, "RLIMIT_CPU", 1)
    assert ask("time.sleep(2)\nreturn 1") == 1
    with pytest.raises(CandidateError, match="took too long"):
        ask("while True: pass", sandbox=Sandbox(seconds=600))


def test_signals_do_not_save_an_endless_loop() -> None:
    ignore = (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass"
    )
    with pytest.raises(CandidateError, match="took too long"):
        ask("while True: pass", sandbox=Sandbox(seconds=1), before=ignore)


def test_the_host_has_no_files_there_and_nothing_can_be_deleted(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("secret")
    tmp_path.chmod(0o777)
    assert (
        ask(f"return os.path.exists({str(secret)!r}), os.path.exists('/etc'), os.path.exists('/root')") == (False,) * 3
    )
    ask("for top in ('/usr/lib/python3', '/usr/bin', '/dev'): shutil.rmtree(top, ignore_errors=True)")
    assert secret.read_text() == "secret"
    assert Path("/usr/bin/python3").exists()
    assert ask("try:\n    open('/usr/x', 'w')\nexcept OSError as error:\n    return error.errno") == 30  # EROFS


def test_no_listener_of_the_host_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        connect = f"socket.create_connection(('127.0.0.1', {port}), 1)"
        refused = ask(f"try:\n    {connect}\n    return 'connected'\nexcept OSError as error:\n    return 'refused'")
        assert refused == "refused"
        with pytest.raises(TimeoutError):
            listener.accept()
    assert ask("return [name for _, name in socket.if_nameindex()]") == ["lo"]


def test_memory_is_bounded() -> None:
    with pytest.raises(CandidateError, match=r"MemoryError|ended"):
        ask("return len(b'x' * (1 << 31))")
    assert ask("return 1") == 1


def test_files_are_bounded_in_sum() -> None:
    fill = (
        "n = 0\ntry:\n    for i in range(10_000):\n        open(f'/tmp/{i}', 'wb').write(bytes(1 << 20))\n"
        "        n += 1\nexcept OSError:\n    pass\nreturn n"
    )
    written = ask(fill)
    assert isinstance(written, int)
    assert written <= WRITABLE_BYTES >> 20
    assert (
        ask("try:\n    open('/dev/x', 'w')\n    return 'written'\nexcept OSError:\n    return 'refused'") == "refused"
    )


def test_limits_cannot_be_raised() -> None:
    raising = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))"
    with pytest.raises(CandidateError, match="raised ValueError"):
        ask(raising)


@pytest.mark.parametrize(
    "body",
    [
        "print('passed'); sys.exit(0)",
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
        "class Same:\n    def __eq__(self, other): return True\n    def __repr__(self): return 'Same()'\nreturn Same()",
        "return 'x' * (1 << 21)",
        "for fd in range(64):\n    try: os.write(fd, b'passed\\n')\n    except OSError: pass\nos._exit(0)",
    ],
)
def test_printing_exiting_and_objects_that_equal_everything_are_no_result(body: str) -> None:
    with pytest.raises(CandidateError):
        ask(body)


def test_a_machine_that_cannot_isolate_is_refused() -> None:
    with pytest.raises(HostError, match="a sandbox that does not start"):
        Sandbox(python="/usr/bin/no-python").check()
    SANDBOX.check()
