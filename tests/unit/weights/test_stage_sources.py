"""A source that fails is named, another one takes over, and only right bytes get a name."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from qwen_runtime import weights
from qwen_runtime.errors import UsageError, WeightsError
from qwen_runtime.weights.http_source import HttpSource
from qwen_runtime.weights.sources import Unreachable
from qwen_runtime.weights.stage import source_of

from tests.fakes.file_server import Behaviour, serve
from tests.fakes.model_files import SHARDS
from tests.support.staging import TENSOR_BYTES, Stage, change, whole

SHARD = SHARDS[0]
HALF = TENSOR_BYTES // 2
SHARD_BYTES = TENSOR_BYTES + 84  # the header, and its length before it
BAD_HABITS = {
    "stalls": (Behaviour(stalls_after=1000), "nothing for 0.5 s"),
    "stalls at once": (Behaviour(stalls_after=0), "nothing for 0.5 s"),
    "drips": (Behaviour(drips=True), "bytes in 0.5 s"),
    "closes": (Behaviour(closes_after=1000), "bytes too early"),
    "says a length that is too long": (Behaviour(adds_to_length=7), f"an answer of {SHARD_BYTES + 7} bytes"),
    "says a length that is too short": (Behaviour(adds_to_length=-7), f"an answer of {SHARD_BYTES - 7} bytes"),
    "says no length": (Behaviour(chunked=True), "no length"),
    "flips a byte": (Behaviour(flips_byte=-1), "SHA-256"),
    "has no file": (Behaviour(status=404), "status 404"),
    "is broken": (Behaviour(status=500), "status 500"),
    "is busy": (Behaviour(status=503), "status 503"),
    "redirects": (Behaviour(redirects_to="http://elsewhere/x"), "a redirect to http://elsewhere/x"),
}
each_habit = pytest.mark.parametrize("habit", BAD_HABITS)


def test_a_directory_is_copied_and_verified(stage: Stage, source_dir: Path, target: Path) -> None:
    outcome = stage(source_dir)
    assert outcome.changed
    assert outcome.fetched_bytes == {str(source_dir): outcome.size_bytes}
    assert whole(source_dir, target)


def test_a_mirror_is_fetched_from_and_verified(stage: Stage, source_dir: Path, target: Path) -> None:
    with serve(source_dir) as mirror:
        assert stage(mirror.url).changed
    assert whole(source_dir, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()} == {0o644}


def test_a_second_run_reads_the_manifest_and_fetches_nothing(stage: Stage, source_dir: Path, target: Path) -> None:
    with serve(source_dir) as mirror:
        stage(mirror.url)
        mirror.requests.clear()
        outcome = stage(mirror.url)
    assert (outcome.changed, outcome.fetched_bytes) == (False, {})
    assert mirror.paths() == ["/manifest.json"]


def test_another_manifest_than_the_pinned_one_is_refused_before_anything_is_staged(
    stage: Stage, source_dir: Path, target: Path
) -> None:
    pinned = hashlib.sha256((source_dir / "manifest.json").read_bytes()).hexdigest()
    assert stage(source_dir, manifest_sha256=pinned).changed
    staged = (target / "config.json").read_bytes()
    change(source_dir)
    with serve(source_dir) as mirror, pytest.raises(WeightsError) as caught:
        stage(mirror.url, source_dir, manifest_sha256=pinned)
    assert mirror.paths() == ["/manifest.json"]
    assert f"{mirror.url}/manifest.json with SHA-256 " in str(caught.value)
    assert f"SHA-256 {pinned}, which is pinned" in str(caught.value)
    assert (target / "config.json").read_bytes() == staged
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_manifest_that_no_longer_is_the_pinned_one_is_refused_though_it_is_staged(
    stage: Stage, source_dir: Path
) -> None:
    stage(source_dir)
    with pytest.raises(WeightsError, match="which is pinned"):
        stage(source_dir, manifest_sha256="0" * 64)


@each_habit
def test_the_next_source_takes_over(stage: Stage, source_dir: Path, target: Path, habit: str) -> None:
    behaviour = Behaviour(**vars(BAD_HABITS[habit][0]))
    with serve(source_dir, behaviour) as bad, serve(source_dir) as good:
        outcome = stage(bad.url, good.url)
    assert whole(source_dir, target)
    assert outcome.fetched_bytes[good.url] > 0


@each_habit
def test_a_source_alone_is_refused_with_its_fault_and_a_rerun_goes_on(
    stage: Stage, source_dir: Path, target: Path, habit: str
) -> None:
    behaviour, fault = BAD_HABITS[habit]
    with serve(source_dir, Behaviour(**vars(behaviour))) as bad, pytest.raises(WeightsError) as caught:
        stage(bad.url)
    message = str(caught.value)
    assert ".safetensors: " in message
    assert fault in message
    assert bad.url in message
    assert "run again" in message
    assert not target.exists()
    with serve(source_dir) as good:
        stage(good.url)
    assert whole(source_dir, target)


def test_a_broken_off_file_is_resumed_where_it_stopped(stage: Stage, source_dir: Path, target: Path) -> None:
    with serve(source_dir, Behaviour(on=SHARD, closes_after=HALF, times=1)) as mirror:
        stage(mirror.url)
    assert whole(source_dir, target)
    assert [asked for path, asked in mirror.requests if path == f"/{SHARD}"] == ["", f"bytes={HALF}-"]


def test_a_source_that_breaks_off_again_and_again_is_used_while_it_brings_more(
    stage: Stage, source_dir: Path, target: Path
) -> None:
    with serve(source_dir, Behaviour(closes_after=1 << 20)) as mirror:
        stage(mirror.url)
    assert whole(source_dir, target)


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(stage: Stage, source_dir: Path, target: Path) -> None:
    broken = serve(source_dir, Behaviour(closes_after=HALF, ignores_ranges=True))
    with broken as bad, pytest.raises(WeightsError, match="too early"):
        stage(bad.url)
    with serve(source_dir, Behaviour(ignores_ranges=True)) as mirror:
        stage(mirror.url)
    assert whole(source_dir, target)
    assert any(asked for _, asked in mirror.requests)


def test_a_range_that_is_not_the_one_asked_for_is_refused(stage: Stage, source_dir: Path, target: Path) -> None:
    behaviour = Behaviour(on=SHARD, closes_after=HALF, wrong_range=True)
    with serve(source_dir, behaviour) as bad, pytest.raises(WeightsError, match=f"Content-Range 'bytes {HALF + 1}-"):
        stage(bad.url)
    with serve(source_dir) as good:
        stage(good.url)
    assert whole(source_dir, target)


def test_half_a_file_of_a_wrong_source_does_not_spoil_the_right_one(
    stage: Stage, source_dir: Path, target: Path
) -> None:
    """A wrong first half that breaks off and a right second half do not make the file."""
    with serve(source_dir, Behaviour(closes_after=HALF, flips_byte=500)) as bad, serve(source_dir) as good:
        stage(bad.url, good.url)
    assert whole(source_dir, target)


def test_every_wrong_file_is_named_and_what_is_right_is_kept(stage: Stage, source_dir: Path, target: Path) -> None:
    with serve(source_dir, Behaviour(flips_byte=0)) as bad, pytest.raises(WeightsError) as caught:
        stage(bad.url)
    assert "2 fault(s)" in str(caught.value)
    assert all(shard in str(caught.value) for shard in SHARDS)
    with serve(source_dir) as good:
        stage(good.url)
    assert set(good.paths()) == {"/manifest.json", *(f"/{shard}" for shard in SHARDS)}
    assert whole(source_dir, target)


def test_a_source_that_is_not_there_is_passed_over(stage: Stage, source_dir: Path, target: Path) -> None:
    with serve(source_dir) as gone:
        pass
    stage(gone.url, source_dir)
    assert whole(source_dir, target)
    with pytest.raises(WeightsError, match=r"(?s)ConnectionRefusedError.*Fill the mirror"):
        stage(gone.url)


def test_a_second_mirror_with_another_revision_gives_nothing(
    stage: Stage, source_dir: Path, target: Path, tmp_path: Path
) -> None:
    with serve(source_dir, Behaviour(on=SHARD, flips_byte=0)) as first, serve(tmp_path / "other") as second:
        (tmp_path / "other").mkdir()
        for path in source_dir.iterdir():
            (tmp_path / "other" / path.name).write_bytes(path.read_bytes())
        change(tmp_path / "other")
        with pytest.raises(WeightsError, match="a manifest of another revision"):
            stage(first.url, second.url)
    assert set(second.paths()) == {"/manifest.json"}


def test_another_model_than_the_expected_one_is_refused(stage: Stage, source_dir: Path, target: Path) -> None:
    with pytest.raises(WeightsError, match="has tiny\nneeded: the model large"):
        stage(source_dir, model="large")
    assert not target.parent.exists()


@pytest.mark.parametrize(
    "habit", [Behaviour(on="manifest.json", redirects_to="http://x/"), Behaviour(on="manifest.json", status=403)]
)
def test_a_manifest_that_cannot_be_had_stops_before_anything_is_written(
    stage: Stage, source_dir: Path, target: Path, habit: Behaviour
) -> None:
    with (
        serve(source_dir, habit) as mirror,
        pytest.raises(WeightsError, match=r"manifest\.json: (a redirect|status 403)"),
    ):
        stage(mirror.url)
    assert not target.parent.exists()


def test_a_link_at_the_source_is_not_followed(stage: Stage, source_dir: Path, target: Path) -> None:
    (source_dir / SHARD).rename(source_dir.parent / "outside")
    (source_dir / SHARD).symlink_to(source_dir.parent / "outside")
    with pytest.raises(WeightsError, match=f"{SHARD}: found: a link to .*/outside at"):
        stage(source_dir)
    assert not target.exists()


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/m",
        "file:///m",
        "http:///m",
        "http://u:p@host/m",
        "http://host/m?x=1",
        "http://host:x/m",
        "http://h/a b",
    ],
)
def test_a_source_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)source .*Correct --from"):
        source_of(text, 1)


def test_a_source_that_was_closed_is_not_waited_for(source_dir: Path) -> None:
    with serve(source_dir, Behaviour(stalls_after=0)) as silent:
        mirror = HttpSource(silent.url, timeout_s=60)
        mirror.close()
        with pytest.raises(Unreachable, match="closed meanwhile"):
            mirror.manifest()


def test_names_are_quoted_in_urls(stage: Stage, source_dir: Path, target: Path) -> None:
    (source_dir / "what is new? 100 % #1.md").write_text("little")
    weights.write_manifest(source_dir, "tiny", "2")
    with serve(source_dir) as mirror:
        stage(mirror.url)
    assert "/what%20is%20new%3F%20100%20%25%20%231.md" in mirror.paths()
    assert whole(source_dir, target)
