"""An interrupted run leaves the target whole or not there, and the next run continues it."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from qwen_runtime import weights
from qwen_runtime.errors import HostError, UsageError, WeightsError
from qwen_runtime.weights import stage as staging

from tests.fakes.file_server import Behaviour, serve
from tests.fakes.model_files import SHARDS
from tests.support.processes import SOURCE
from tests.support.staging import Stage, change, whole
from tests.support.waiting import wait_until

SHARD = SHARDS[0]
BEGUN = 1 << 20  # bytes of a shard that have arrived when a run is interrupted


def begin(target: Path, url: str) -> subprocess.Popen[bytes]:
    """`qwen-runtime weights stage` as a separate process."""
    command = [sys.executable, "-m", "qwen_runtime", "weights", "stage", str(target), "--from", url]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(
        [*command, "--margin-bytes", "0"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def begun_bytes(target: Path) -> int:
    total = 0
    for path in target.parent.glob(".tiny.*.partial/parts/*"):
        with suppress(FileNotFoundError):  # a small file is whole and moved before its size is read
            total += path.stat().st_size
    return total


@contextmanager
def running(target: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run that has the beginnings of both shards and waits for the rest."""
    process = begin(target, url)
    try:
        wait_until(
            lambda: begun_bytes(target) == 2 * BEGUN or process.poll() is not None, "the beginning of both shards"
        )
        assert process.poll() is None, process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_no_target_and_the_next_one_goes_on(
    stage: Stage, source_dir: Path, target: Path, number: signal.Signals
) -> None:
    with serve(source_dir, Behaviour(stalls_after=BEGUN)) as slow, running(target, slow.url) as process:
        process.send_signal(number)
        process.wait(120)
        assert process.returncode != 0
    assert not target.exists()
    with serve(source_dir) as mirror:
        stage(mirror.url)
    assert [asked for path, asked in mirror.requests if path.endswith(".safetensors")] == [f"bytes={BEGUN}-"] * 2
    assert whole(source_dir, target)


def test_what_a_killed_run_left_is_checked_again(stage: Stage, source_dir: Path, target: Path) -> None:
    with serve(source_dir, Behaviour(stalls_after=BEGUN)) as slow, running(target, slow.url) as process:
        process.kill()
    for path in target.parent.glob(".tiny.*.partial/*/*"):
        path.write_bytes(b"x" * path.stat().st_size)
    with serve(source_dir) as mirror:
        stage(mirror.url)
    assert whole(source_dir, target)


def test_a_second_writer_is_refused_while_the_first_one_works(stage: Stage, source_dir: Path, target: Path) -> None:
    with serve(source_dir, Behaviour(stalls_after=BEGUN)) as slow, running(target, slow.url):
        with pytest.raises(HostError, match=r"another process is staging to .*\nneeded: one at a time\nremedy: Wait"):
            stage(source_dir)
        change(source_dir)
        with pytest.raises(HostError, match="another process is staging to"):
            stage(source_dir)
    stage(source_dir)
    assert whole(source_dir, target)


def test_the_model_in_use_stays_until_the_new_one_is_whole(stage: Stage, source_dir: Path, target: Path) -> None:
    stage(source_dir)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    change(source_dir)
    with serve(source_dir, Behaviour(on="config.json", status=404)) as bad, pytest.raises(WeightsError):
        stage(bad.url)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    outcome = stage(source_dir)
    assert outcome.revision == "2"
    assert whole(source_dir, target)


def test_a_new_revision_takes_over_what_did_not_change(stage: Stage, source_dir: Path, target: Path) -> None:
    stage(source_dir)
    change(source_dir)
    outcome = stage(source_dir)
    assert outcome.fetched_bytes == {str(source_dir): (source_dir / "config.json").stat().st_size}
    assert whole(source_dir, target)


def truncate(target: Path) -> None:
    os.truncate(target / SHARD, 100)


def add(target: Path) -> None:
    (target / "extra.safetensors").write_bytes(b"x")


def remove(target: Path) -> None:
    (target / SHARD).unlink()


def forget(target: Path) -> None:
    """Leaves a manifest without its content."""
    (target / "manifest.json").write_text("{}")


def flip_in_the_header(target: Path) -> None:
    path = target / SHARD
    path.write_bytes(path.read_bytes().replace(b'"U8"', b'"I8"', 1))


@pytest.mark.parametrize("damage", [truncate, add, remove, forget, flip_in_the_header])
def test_a_damaged_target_is_repaired_with_as_little_as_it_takes(
    stage: Stage, source_dir: Path, target: Path, damage: Callable[[Path], None]
) -> None:
    stage(source_dir)
    damage(target)
    fetched = stage(source_dir).fetched_bytes.get(str(source_dir), 0)
    assert fetched == (0 if damage in (add, forget) else (source_dir / SHARD).stat().st_size)
    assert whole(source_dir, target)


def test_a_run_cut_off_between_its_renames_is_made_good(stage: Stage, source_dir: Path, target: Path) -> None:
    stage(source_dir)
    target.rename(target.parent / ".tiny.previous")
    stage(source_dir)
    assert whole(source_dir, target)


def test_leftovers_of_other_revisions_go_even_when_nothing_is_to_do(
    stage: Stage, source_dir: Path, target: Path
) -> None:
    stage(source_dir)
    for name in (".tiny.0123456789ab.partial", ".tiny.previous"):
        (target.parent / name / "files").mkdir(parents=True)
    others = target.parent / ".tiny.2.0123456789ab.partial"
    others.mkdir()
    assert not stage(source_dir).changed
    assert others.exists(), "it belongs to the model tiny.2"
    others.rmdir()
    assert whole(source_dir, target)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_fetched(
    stage: Stage, source_dir: Path, target: Path
) -> None:
    with serve(source_dir) as mirror:
        with pytest.raises(
            HostError, match=r"GB free at .*\nneeded: .* GB for tiny, margin included\nremedy: Free the space"
        ):
            stage(mirror.url, margin_bytes=1 << 60)
        assert mirror.paths() == ["/manifest.json"]
        assert not target.exists()
        stage(mirror.url)
    assert whole(source_dir, target)


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Limits the size of files, like a quota: a write beyond it fails, for root too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_stops_the_run_and_the_next_one_goes_on(
    stage: Stage, source_dir: Path, target: Path
) -> None:
    with serve(source_dir) as mirror:
        with (
            files_no_larger_than(BEGUN),
            pytest.raises(HostError, match=r"(?s)File too large while staging to .*run again"),
        ):
            stage(mirror.url)
        assert not target.exists()
        stage(mirror.url)
    assert f"bytes={BEGUN}-" in [asked for _, asked in mirror.requests]
    assert whole(source_dir, target)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_disk_that_fills_up_meanwhile_stops_the_run_and_the_next_one_goes_on(
    stage: Stage, source_dir: Path, target: Path, tmp_path: Path
) -> None:
    target.parent.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(target.parent)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        filler = target.parent / "filler"

        class Filling(staging.DirectorySource):
            """Takes the space, as another program would, once the run has begun."""

            def open(self, *arguments: object) -> object:
                if not filler.exists():
                    filler.write_bytes(b"x" * (4 << 20))
                return super().open(*arguments)  # type: ignore[arg-type]

        original, staging.DirectorySource = staging.DirectorySource, Filling  # type: ignore[misc]
        try:
            with pytest.raises(HostError, match=r"(?s)No space left on device while staging to .*Free the space"):
                stage(source_dir)
        finally:
            staging.DirectorySource = original  # type: ignore[misc]
        assert not target.exists()
        filler.unlink()
        stage(source_dir)
        assert whole(source_dir, target)
    finally:
        subprocess.run(["umount", "--lazy", str(target.parent)], check=True)


def test_a_directory_that_is_no_model_is_not_replaced(stage: Stage, source_dir: Path, target: Path) -> None:
    target.mkdir(parents=True)
    (target / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="is there and no model directory"):
        stage(source_dir)
    assert [path.name for path in target.iterdir()] == ["thesis.tex"]


def test_a_target_that_is_a_link_is_not_followed(stage: Stage, source_dir: Path, target: Path) -> None:
    stage(source_dir)
    elsewhere = target.parent.parent / "elsewhere"
    target.rename(elsewhere)
    target.symlink_to(elsewhere)
    change(source_dir)
    with pytest.raises(UsageError, match="is there and no model directory"):
        stage(source_dir)
    assert weights.read_manifest(elsewhere).revision == "1"


def test_a_planted_link_in_the_staging_area_is_not_written_through(
    stage: Stage, source_dir: Path, target: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("untouched")
    with serve(source_dir, Behaviour(stalls_after=BEGUN)) as slow, running(target, slow.url) as process:
        process.kill()
    [parts] = target.parent.glob(".tiny.*.partial/parts")
    for path in parts.iterdir():
        path.unlink()
        path.symlink_to(precious)
    with pytest.raises(HostError, match="Too many levels of symbolic links"):
        stage(source_dir)
    assert precious.read_text() == "untouched"


def test_files_in_folders_are_staged(stage: Stage, source_dir: Path, target: Path) -> None:
    (source_dir / "a/b").mkdir(parents=True)
    (source_dir / "a/b/notes.txt").write_text("deep")
    weights.write_manifest(source_dir, "tiny", "2")
    before = os.umask(0o077)
    try:
        stage(source_dir)
    finally:
        os.umask(before)
    weights.verify(target, full=True)
    assert (target / "a/b/notes.txt").read_text() == "deep"
    assert {oct((target / folder).stat().st_mode & 0o777) for folder in (".", "a", "a/b")} == {"0o755"}


def test_the_lock_outlives_no_process(stage: Stage, source_dir: Path, target: Path) -> None:
    with serve(source_dir, Behaviour(stalls_after=BEGUN)) as slow, running(target, slow.url) as process:
        process.kill()
    [place] = target.parent.glob(".tiny.*.partial")
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def test_the_command_reports_for_people_and_for_programs(
    source_dir: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from qwen_runtime.cli import main

    command = ["weights", "stage", str(target), "--from", str(source_dir), "--margin-bytes", "0"]
    assert main([*command, "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is True
    assert not target.parent.exists()
    assert main(command) == 0
    assert f"staged {target}: tiny 1, 7 files" in capsys.readouterr().out
    assert main([*command, "--check"]) == 0
    assert f"already staged {target}" in capsys.readouterr().out
    assert main([*command, "--json", "--model", "other"]) == 3
    assert "needed: the model other" in capsys.readouterr().err
