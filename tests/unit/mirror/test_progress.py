"""Long work on a mirror says in a log how much is done, how fast, and how long the rest takes."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path

import pytest
from qwen_runtime.weights import progress

from mirror.bring.folder import bring
from mirror.carry import bundle
from mirror.command import main
from mirror.fill import files
from mirror.fill.wheels import Downloads
from mirror.item import Item
from mirror.tools.apt import Apt
from mirror.tools.growth import read_by_children
from tests.support.debian import make_package
from tests.support.waiting import wait_until
from tests.support.web import Quiet, served

SITE = "registry.example.internal"
SIZE_BYTES = 40_000_000
LINE = r"{}: 0\.\d\d GB of 0\.04 GB, \d+\.\d [MG]B/s, (\d+ min )?\d+ s left"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line every five milliseconds in place of one every thirty seconds."""
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.005)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A folder with one large file."""
    (tmp_path / "filled/tools").mkdir(parents=True)
    (tmp_path / "filled/tools/large").write_bytes(os.urandom(SIZE_BYTES))
    bundle.write(tmp_path / "filled", SITE)
    return tmp_path / "filled"


class Slow(Quiet):
    """A server that gives half of a file, and the rest once the test has seen a line."""

    seen = threading.Event()

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE_BYTES))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(bytes(SIZE_BYTES // 2))
        self.wfile.flush()
        self.seen.wait(60)
        self.wfile.write(bytes(SIZE_BYTES - SIZE_BYTES // 2))


def test_one_large_archive_shows_how_far_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    def read() -> bool:
        said.append(capfd.readouterr().err)
        return bool(re.search(LINE.format("archive engine"), "".join(said)))

    with served(Slow) as port:
        item = Item("tool", "", "engine", "", f"http://127.0.0.1:{port}/engine")
        fetching = threading.Thread(target=files.archives, args=([item], tmp_path))
        fetching.start()
        try:
            wait_until(read, "a line with rate and time left while the file is being fetched")
        finally:
            Slow.seen.set()
            fetching.join()
    assert (tmp_path / "tools/engine").stat().st_size == SIZE_BYTES


def test_packages_have_their_size_before_they_are_fetched(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A repository on this machine that apt copies from; the package is not compressed."""
    source = tmp_path / "source"
    source.mkdir()
    make_package(source, "firmware", content=os.urandom(SIZE_BYTES))
    packages = subprocess.run(["apt-ftparchive", "packages", "."], cwd=source, check=True, capture_output=True).stdout
    (source / "Packages").write_bytes(packages)
    apt = Apt(tmp_path / "apt", [f"deb [trusted=yes] copy:{source} ./"], None, None)
    assert apt.update().returncode == 0
    (tmp_path / "out/partial").mkdir(parents=True)
    assert apt.download([Item("apt", "jammy", "firmware", "", "")], tmp_path / "out").returncode == 0
    assert re.search(r"^packages of jammy: 0\.\d\d GB of 0\.04 GB, ", capfd.readouterr().err, re.MULTILINE)


def test_pip_says_which_wheel_and_its_own_lines_stay_out() -> None:
    far = Downloads("locks/runtime-cuda.txt, Python 3.12", 4)
    lines = ["Collecting numpy==2.0", "Progress 0 of 1000000", "Progress 1000000 of 1000000", "Collecting torch==2.9"]
    assert [far.takes(line) for line in (*lines, "Progress 250000000 of 500000000")] == [False, True, True, False, True]
    assert re.fullmatch(
        r"wheels of locks/runtime-cuda.txt, Python 3.12: 2 of 4: 0.25 GB, \S+ [MG]B/s, .* s left", far.line()
    )
    assert far._share() == 1.5 / 4


@pytest.fixture
def key(tmp_path: Path) -> Path:
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "site.key"], check=True)
    public = ["openssl", "pkey", "-in", tmp_path / "site.key", "-pubout", "-out", tmp_path / "site.pub"]
    subprocess.run(list(map(str, public)), check=True)
    return tmp_path / "site.key"


def test_packing_verifying_and_importing_show_the_same(
    filled: Path, key: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    medium = tmp_path / "medium"
    assert main(["pack", str(filled), "--to", str(medium), "--largest-gb", "0.03"]) == 0
    assert main(["sign", str(medium), "--key", str(key)]) == 0
    assert main(["verify", str(medium), "--key", str(key.with_suffix(".pub"))]) == 0
    bring(medium, SITE, [], tmp_path / "srv", "", None)
    said = capfd.readouterr().err
    for step in ("pack", "read back", "verify", "import"):
        assert re.search(f"^{LINE.format(step)}$", said, re.MULTILINE), f"{step}: {said}"


def test_what_a_program_reads_for_a_push_is_counted_while_it_runs(tmp_path: Path) -> None:
    if not list(Path("/proc/self/task").glob("*/children")):
        pytest.skip("needs a kernel that tells a process's children")
    (tmp_path / "layer").write_bytes(bytes(SIZE_BYTES))
    before = read_by_children()
    reading = ["sh", "-c", f"cat {tmp_path}/layer > /dev/null; read end"]
    with subprocess.Popen(reading, stdin=subprocess.PIPE) as process:
        wait_until(lambda: read_by_children() >= before + SIZE_BYTES, "all of it is read")
        process.communicate(b"\n")
