"""The short way to an answer: it refuses before it installs, and its versions are those of the images."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from lab.commands import serve
from lab.errors import LabError
from lab.machine import bootstrap
from lab.paths import REPO
from tests.support.ports import free_port


@pytest.mark.parametrize("taken", [0, 1], ids=["the model's", "that of its health"])
def test_a_taken_port_is_refused_before_anything_changes(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    monkeypatch.setattr(bootstrap, "packages", lambda _: pytest.fail("something was installed"))
    port = free_port(neighbours=1)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port + taken))
        holder.listen()
        with pytest.raises(LabError, match=rf"(?s)127.0.0.1:{port + taken} is in use.*make serve PORT="):
            serve.serve(port)


def test_a_chat_without_a_server_says_how_to_start_one() -> None:
    port = free_port()
    with pytest.raises(LabError, match=rf"(?s)no server on .*run `make serve PORT={port}` in another terminal"):
        serve.chat(port, "Hello")


def test_its_packages_are_those_of_the_image_for_processors() -> None:
    def pins(lock: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock.read_text(), re.MULTILINE))

    assert pins(serve.LOCK).items() <= pins(REPO / "locks/runtime-cpu.txt").items()
