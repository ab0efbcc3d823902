"""Parsers of a mirror's files read valid ones rightly and refuse everything else with a reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qwen_runtime import safetensors
from qwen_runtime.errors import WeightsError
from qwen_runtime.safetensors import DTYPE_BITS, Tensor
from qwen_runtime.weights import checkpoint, manifest

QUICK = settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
tensors = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
    st.builds(
        Tensor,
        st.sampled_from([dtype for dtype, bits in DTYPE_BITS.items() if bits % 8 == 0]),
        st.lists(st.integers(0, 9), max_size=4).map(tuple),
    ),
    max_size=6,
)


def attempt(parse: Callable[..., Any], *arguments: object) -> tuple[Any, str]:
    """The parser's result, or its reason for refusing; any other exception is a defect."""
    try:
        return parse(*arguments), ""
    except (ValueError, WeightsError) as error:
        return None, str(error)


def header_of(tensors: dict[str, Tensor]) -> tuple[bytes, int]:
    """A valid header, and the number of data bytes that it describes."""
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, tensor in tensors.items():
        end = position + math.prod(tensor.shape) * DTYPE_BITS[tensor.dtype] // 8
        table[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    return json.dumps(table).encode(), position


@QUICK
@given(tensors)
def test_a_right_header_gives_its_tensors(tensors: dict[str, Tensor]) -> None:
    header, data_bytes = header_of(tensors)
    assert safetensors.parse_header(header, data_bytes) == tensors


@QUICK
@given(tensors, st.data())
def test_a_damaged_header_gives_tensors_that_fill_the_data_or_a_reason(
    tensors: dict[str, Tensor], data: st.DataObject
) -> None:
    header, data_bytes = header_of(tensors)
    damaged = bytearray(header)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    _parse_or_reason(bytes(damaged), data_bytes)


@QUICK
@given(json_values, st.integers(0, 1000))
def test_any_json_as_header(value: object, data_bytes: int) -> None:
    _parse_or_reason(json.dumps(value).encode(), data_bytes)
    _parse_or_reason(json.dumps({"a": value}).encode(), data_bytes)
    _parse_or_reason(json.dumps({"a": {"dtype": "U8", "shape": value, "data_offsets": value}}).encode(), data_bytes)


@QUICK
@given(st.binary(max_size=64), st.integers(0, 1000))
def test_any_bytes_as_header(header: bytes, data_bytes: int) -> None:
    _parse_or_reason(header, data_bytes)


def _parse_or_reason(header: bytes, data_bytes: int) -> None:
    tensors, reason = attempt(safetensors.parse_header, header, data_bytes)
    assert (tensors is None) == (0 < len(reason) < 2000)
    assert tensors is None or sum(math.prod(t.shape) * DTYPE_BITS[t.dtype] for t in tensors.values()) == data_bytes * 8


@QUICK
@given(json_values | st.fixed_dictionaries({"weight_map": json_values}))
def test_any_json_as_index_gives_names_or_a_reason(value: object) -> None:
    weight_map, reason = attempt(safetensors.parse_index, json.dumps(value).encode())
    assert weight_map or reason
    assert all(isinstance(shard, str) for shard in weight_map or [])


entries = st.fixed_dictionaries(
    {"path": st.text(max_size=12) | json_values, "size": st.integers() | json_values, "sha256": st.just("0" * 64)},
    optional={"tensors": json_values},
)
documents = st.fixed_dictionaries(
    {"format": st.just(2), "model": st.text(max_size=4), "revision": st.text(max_size=4)},
    optional={
        "files": st.lists(entries | json_values, max_size=3) | json_values,
        "covers": json_values | st.fixed_dictionaries({name: st.text(max_size=12) for name in checkpoint.NEEDED}),
    },
)


@QUICK
@given(documents | json_values)
def test_any_json_as_manifest_gives_paths_inside_or_a_refusal(value: object) -> None:
    parsed, reason = attempt(manifest.parse, json.dumps(value).encode(), "manifest.json")
    assert parsed or reason
    root = Path("/models/tiny")
    for entry in parsed.files if parsed else ():
        assert (root / entry.path).is_relative_to(root)
        assert ".." not in (root / entry.path).parts
        assert "\0" not in entry.path
        assert entry.size >= 0


@QUICK
@given(st.binary(max_size=64))
def test_any_bytes_as_manifest(content: bytes) -> None:
    with pytest.raises(WeightsError):
        manifest.parse(content, "manifest.json")


def test_a_manifest_survives_writing_and_reading(model_dir: Path) -> None:
    content = (model_dir / "manifest.json").read_bytes()
    assert manifest.encode(manifest.parse(content, "manifest.json")) == content


U8 = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("table", "data_bytes", "reason"),
    [
        (
            {"a": U8, "b": {**U8, "data_offsets": [2, 6]}},
            6,
            "tensor 'b' that begins at byte 2 of the data and not at 4",
        ),
        (
            {"a": U8, "b": {**U8, "data_offsets": [5, 9]}},
            9,
            "tensor 'b' that begins at byte 5 of the data and not at 4",
        ),
        ({"a": U8}, 5, "tensors of 4 bytes in a file with 5 bytes of data"),
        ({"a": U8}, 3, "tensors of 4 bytes in a file with 3 bytes of data"),
        ({"a": {**U8, "shape": [5]}}, 4, "tensor 'a' of U8 [5] in 4 bytes"),
        ({"a": {**U8, "dtype": "BF16"}}, 4, "tensor 'a' of BF16 [4] in 4 bytes"),
        ({"a": {**U8, "dtype": "U9"}}, 4, "dtype 'U9'"),
        ({"a": {**U8, "shape": [2**63]}}, 4, "shape [9223372036854775808]"),
        ({"a": {**U8, "shape": [True]}}, 4, "shape [True]"),
        ({"a": {**U8, "shape": [1] * 65}}, 4, "shape [1, 1"),
        ({"a": {**U8, "data_offsets": [4, 0]}}, 4, "data_offsets [4, 0]"),
        ({"a": {**U8, "data_offsets": [0]}}, 4, "data_offsets [0]"),
        ({"a": {"shape": [4]}}, 4, "KeyError: 'dtype'"),
        ({"a": 1}, 4, "TypeError"),
        ({"__metadata__": {"a": 1}, "a": U8}, 4, "metadata that is not text"),
        ({"__metadata__": ["pt"], "a": U8}, 4, "__metadata__ is a list in place of an object"),
        ({"__metadata__": "pt", "a": U8}, 4, "__metadata__ is a str in place of an object"),
        ([], 0, "a header that is not a table of tensors (TypeError: a list in place of an object)"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused_with_the_contradiction(
    table: object, data_bytes: int, reason: str
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        safetensors.parse_header(json.dumps(table).encode(), data_bytes)
    assert reason in str(caught.value)


def test_metadata_that_a_writer_left_null_counts_as_absent() -> None:
    table = {"__metadata__": None, "a": U8}
    assert safetensors.parse_header(json.dumps(table).encode(), 4) == {"a": Tensor("U8", (4,))}


@pytest.mark.parametrize("header", [b'{"a": 1, "a": 2}', b'{"__metadata__": {"a": "1", "a": "2"}}'])
def test_a_name_that_occurs_twice_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match="a name that occurs twice"):
        safetensors.parse_header(header, 0)


def test_elements_of_less_than_a_byte_are_counted_in_bits() -> None:
    table = {"a": {"dtype": "F4", "shape": [2, 3], "data_offsets": [0, 3]}}
    assert safetensors.parse_header(json.dumps(table).encode(), 3) == {"a": Tensor("F4", (2, 3))}


@pytest.mark.parametrize("content", [b"", b"\1\0\0", (5).to_bytes(8, "little") + b"{}", b"\xff" * 8])
def test_a_file_too_short_for_its_header_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match="a header of"):
        safetensors.read_header(tmp_path / "x")
