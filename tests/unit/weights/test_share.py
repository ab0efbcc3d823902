"""A host offers its neighbours the files of its manifests and nothing else; they get them whole from any giver."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qwen_runtime import weights
from qwen_runtime.errors import HostError, UsageError, WeightsError
from qwen_runtime.weights import share
from qwen_runtime.weights.share import Server

from tests.fakes.file_server import Behaviour, serve
from tests.fakes.model_files import SHARDS, write_model
from tests.support.staging import Stage, change, whole
from tests.support.waiting import wait_until

SHARD = SHARDS[0]
Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def sharing(directory: Path, fan_out: int = 2) -> Iterator[Server]:
    with share.bind(directory, "127.0.0.1", 0, fan_out) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def shelf(source_dir: Path) -> Path:
    """The directory above the model."""
    (source_dir.parent / "shelf").mkdir()
    source_dir.rename(source_dir.parent / "shelf/tiny")
    return source_dir.parent / "shelf"


def url(server: Server, model: str = "tiny") -> str:
    return f"http://127.0.0.1:{server.server_port}/{model}"


def connect(server: Server, host: str = "127.0.0.1") -> http.client.HTTPConnection:
    """Asks as the host of that address: all of 127.0.0.0/8 is this machine."""
    return http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30, source_address=(host, 0))


def ask(connection: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str) -> Answer:
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), response.read()


def get(server: Server, path: str, **headers: str) -> Answer:
    connection = connect(server)
    try:
        return ask(connection, path, **headers)
    finally:
        connection.close()


def test_a_neighbour_gives_what_the_mirror_then_need_not(stage: Stage, shelf: Path, target: Path) -> None:
    with sharing(shelf) as server, serve(shelf / "tiny") as mirror:
        outcome = stage(mirror.url, neighbours=(url(server),))
    assert outcome.fetched_bytes == {url(server): outcome.size_bytes}
    assert mirror.paths() == ["/manifest.json"]
    assert whole(shelf / "tiny", target)


def test_files_and_ranges_are_served_as_they_are(shelf: Path) -> None:
    data = (shelf / "tiny" / SHARD).read_bytes()
    with sharing(shelf) as server:
        assert get(server, "/tiny/manifest.json")[2] == (shelf / "tiny/manifest.json").read_bytes()
        assert get(server, f"/tiny/{SHARD}")[::2] == (200, data)
        status, headers, body = get(server, f"/tiny/{SHARD}", Range="bytes=100-")
        assert (status, body, headers["Content-Range"]) == (206, data[100:], f"bytes 100-{len(data) - 1}/{len(data)}")
        assert get(server, f"/tiny/{SHARD}", Range="bytes=5-9")[::2] == (206, data[5:10])
        assert get(server, f"/tiny/{SHARD}", Range="bytes=-5")[::2] == (200, data), "a range that need not be known"
        assert get(server, f"/tiny/{SHARD}", Range=f"bytes={len(data)}-")[0] == 416
        connection = connect(server)
        assert ask(connection, f"/tiny/{SHARD}", "HEAD")[1]["Content-Length"] == str(len(data))
        assert ask(connection, "/tiny/config.json")[0] == 200, "the connection is kept"
        connection.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/tiny", 404),
        ("/tiny/", 404),
        ("/tiny/unlisted.txt", 404),
        ("/tiny/../secret", 404),
        ("/../secret", 404),
        ("//secret", 503),
        ("/%2e%2e/secret", 404),
        ("/tiny/%2e%2e/%2e%2e/secret", 404),
        ("/tiny/%00", 404),
        ("/.tiny.0123456789ab.partial/manifest.json", 404),
        ("/tiny2/manifest.json", 503),
    ],
)
def test_nothing_else_is_offered(shelf: Path, path: str, status: int) -> None:
    for place in (shelf / "tiny/unlisted.txt", shelf / "secret", shelf.parent / "secret"):
        place.write_text("secret")
    (shelf / "tiny/unlisted.txt").unlink()
    with sharing(shelf) as server:
        answer = get(server, path)
    assert answer[0] == status
    assert b"secret" not in answer[2]


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nothing_can_be_written(shelf: Path, method: str) -> None:
    with sharing(shelf) as server:
        connection = connect(server)
        assert ask(connection, "/tiny/config.json", method)[0] == 501
        connection.close()


def test_a_link_is_not_served(shelf: Path) -> None:
    with sharing(shelf) as server:
        assert get(server, "/tiny/config.json")[0] == 200
        (shelf / "tiny/config.json").rename(shelf.parent / "outside")
        (shelf / "tiny/config.json").symlink_to(shelf.parent / "outside")
        assert get(server, "/tiny/config.json")[0] == 503


def test_a_model_that_differs_from_its_manifest_is_not_offered_until_it_is_mended(shelf: Path) -> None:
    path = shelf / "tiny" / SHARD
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with sharing(shelf) as server:
        status, headers, body = get(server, "/tiny/manifest.json")
        assert (status, headers["Retry-After"]) == (503, "2")
        assert b"no verified model of that name yet" in body
        path.write_bytes(good)
        assert get(server, "/tiny/manifest.json")[0] == 200


def test_another_revision_is_offered_once_it_is_in_place(shelf: Path) -> None:
    with sharing(shelf) as server:
        first = get(server, "/tiny/manifest.json")[2]
        change(shelf / "tiny")
        assert get(server, "/tiny/manifest.json")[2] != first
        assert b"4096" in get(server, "/tiny/config.json")[2]


def test_no_more_hosts_are_fed_at_once_than_planned(shelf: Path) -> None:
    with sharing(shelf, fan_out=2) as server:
        hosts = [connect(server, f"127.0.0.{number}") for number in (2, 3, 4)]
        assert [ask(host, f"/tiny/{SHARD}")[0] for host in hosts] == [200, 200, 503]
        again = connect(server, "127.0.0.2")
        assert ask(again, "/tiny/config.json")[0] == 200, "another connection of a host that is fed"
        assert ask(hosts[2], "/tiny/manifest.json")[0] == 200, "manifests are for all"
        hosts[0].close()
        assert ask(hosts[2], f"/tiny/{SHARD}")[0] == 503, "that host has another connection open"
        again.close()
        wait_until(lambda: ask(hosts[2], f"/tiny/{SHARD}")[0] == 200, "a free place")
        for host in hosts:
            host.close()


def test_a_neighbour_that_has_nothing_yet_is_waited_for(stage: Stage, shelf: Path, target: Path) -> None:
    waiting = shelf.parent / "neighbour"
    waiting.mkdir()
    with sharing(waiting) as server, serve(shelf / "tiny") as mirror:

        def appear() -> None:
            write_model(waiting / ".tiny", 3 << 20)
            weights.write_manifest(waiting / ".tiny", "tiny", "1")
            (waiting / ".tiny").rename(waiting / "tiny")

        later = threading.Timer(0.3, appear)
        later.start()
        outcome = stage(mirror.url, neighbours=(url(server),), neighbour_s=30)
        later.join()
    assert list(outcome.fetched_bytes) == [url(server)]
    assert whole(shelf / "tiny", target)


def test_the_mirror_is_asked_when_patience_with_a_neighbour_ends(stage: Stage, shelf: Path, target: Path) -> None:
    empty = shelf.parent / "empty"
    empty.mkdir()
    with sharing(empty) as server, serve(shelf / "tiny") as mirror:
        assert list(stage(mirror.url, neighbours=(url(server),), neighbour_s=0.1).fetched_bytes) == [mirror.url]
    assert whole(shelf / "tiny", target)


def test_a_neighbour_cannot_pass_off_another_model(stage: Stage, shelf: Path, target: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "liar/tiny", 100)
    weights.write_manifest(tmp_path / "liar/tiny", "tiny", "666")
    with sharing(tmp_path / "liar") as server, serve(shelf / "tiny") as mirror:
        outcome = stage(mirror.url, neighbours=(url(server),))
        assert list(outcome.fetched_bytes) == [mirror.url]
        with pytest.raises(WeightsError, match="Fill the mirror"):
            stage(mirror.url + "/absent", neighbours=(url(server),))
    assert whole(shelf / "tiny", target)


def test_a_neighbour_that_gives_wrong_bytes_is_left(stage: Stage, shelf: Path, target: Path) -> None:
    with serve(shelf / "tiny", Behaviour(flips_byte=1000)) as liar, serve(shelf / "tiny") as mirror:
        stage(mirror.url, neighbours=(liar.url,))
    assert whole(shelf / "tiny", target)


def test_a_port_in_use_and_a_missing_directory_are_named(shelf: Path) -> None:
    with (
        sharing(shelf) as server,
        pytest.raises(HostError, match=f"127.0.0.1 port {server.server_port} cannot be used"),
    ):
        share.bind(shelf, "127.0.0.1", server.server_port, 1)
    with pytest.raises(UsageError, match="is not a directory"):
        share.bind(shelf / "absent", "127.0.0.1", 0, 1)
