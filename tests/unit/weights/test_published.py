"""Directories as publishers and downloaders leave them get a manifest, or are refused by file and reason."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qwen_runtime import weights
from qwen_runtime.cli import main
from qwen_runtime.errors import WeightsError
from qwen_runtime.weights import contents

from tests.fakes.model_files import SHARDS, write_index, write_safetensors

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4998663696\n"
TOKENIZER_CONFIG = "tokenizer_config.json"


def refusal(directory: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        weights.write_manifest(directory, "tiny", "2")
    return str(caught.value)


@pytest.mark.parametrize("name", [SHARDS[0], "tokenizer.json", "config.json", "model.safetensors.index.json"])
def test_a_pointer_of_git_lfs_is_named_with_its_remedy(model_dir: Path, name: str) -> None:
    (model_dir / name).write_text(POINTER)
    expected = f"{name}: found: a Git LFS pointer to 4998663696 bytes; needed: the file that it points to"
    assert expected in refusal(model_dir)
    assert "git lfs pull" in refusal(model_dir)
    with pytest.raises(WeightsError, match="a Git LFS pointer to 4998663696 bytes"):
        weights.verify(model_dir, full=False)


def test_a_text_that_only_speaks_of_git_lfs_is_no_pointer(model_dir: Path) -> None:
    (model_dir / "README.md").write_text("version https://git-lfs.github.com/spec/v1 is what a pointer says\n")
    weights.write_manifest(model_dir, "tiny", "2")


def template(text: object) -> str:
    return json.dumps({"chat_template": text})


GOOD_TEMPLATE = """{#- don't -#}
{%- for message in messages %}
    {%- if message.role == 'tool' %}{% continue %}{% endif %}
    {{- '{"name": {"a": 1}}' + message.content }}
    {%- generation %}{{ "}}" }}{% endgeneration %}
{%- endfor %}"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("generation_config.json", "{}"),
        (TOKENIZER_CONFIG, template(GOOD_TEMPLATE)),
        (TOKENIZER_CONFIG, template([{"name": "default", "template": GOOD_TEMPLATE}])),
        ("chat_template.jinja", GOOD_TEMPLATE),
        ("chat_template.json", template(GOOD_TEMPLATE)),
        ("tokenizer.json", '{"model": {"type": "Unigram", "vocab": [["<unk>", 0.0]]}}'),
    ],
)
@pytest.mark.parametrize("with_jinja2", [True, False])
def test_what_publishers_write_is_taken(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, with_jinja2: bool
) -> None:
    if not with_jinja2:
        without_jinja2(monkeypatch)
    (model_dir / name).write_text(content)
    weights.write_manifest(model_dir, "tiny", "2")
    weights.verify(model_dir, full=False)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("chat_template.jinja", " \n", "an empty chat template"),
        (TOKENIZER_CONFIG, template(""), "an empty chat template"),
        (TOKENIZER_CONFIG, template([{"name": "default", "template": ""}]), "an empty chat template"),
        (TOKENIZER_CONFIG, template(7), "a chat template that is no text but a int"),
        (TOKENIZER_CONFIG, template([]), "a chat template that is no text but a list"),
        (TOKENIZER_CONFIG, "{", "no JSON object"),
        ("chat_template.json", "{}", "a chat template that is no text but a NoneType"),
        ("chat_template.jinja", "{% for message in messages %}{{ message }}", "a chat template "),
        ("chat_template.jinja", "{% if a %}{% endfor %}", "a chat template "),
        ("chat_template.jinja", "{{ messages ", "a chat template "),
        ("chat_template.jinja", "{% raw %}{{ messages }}", "a chat template "),
        ("tokenizer.json", "{}", "a tokenizer without a vocabulary (model.vocab)"),
        ("tokenizer.json", '{"model": {"vocab": {}}}', "a tokenizer without a vocabulary"),
        ("tokenizer.json", "[" * 100_000, "no JSON object"),
        ("tokenizer.model", "text", "no SentencePiece model"),
        ("merges.txt", "\n", "an empty list of merges"),
        ("vocab.json", "[]", "no JSON object but a list"),
        ("generation_config.json", "[]", "no JSON object but a list"),
        ("config.json", "{}", "no JSON object with anything in it"),
    ],
)
@pytest.mark.parametrize("with_jinja2", [True, False])
def test_a_file_is_opened_by_what_it_is(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, message: str, with_jinja2: bool
) -> None:
    if not with_jinja2:
        without_jinja2(monkeypatch)
    (model_dir / name).write_text(content)
    assert f"{name}: found: {message}" in refusal(model_dir)


DEEP = "{% for a in b %}" * 30 + "{% endfor %}" * 30
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just(DEEP),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
contents_of_files = st.binary(max_size=60) | st.builds(
    lambda value: json.dumps(value).encode(),
    values | st.fixed_dictionaries({}, optional={"chat_template": values, "model": values}),
)
pieces = st.sampled_from(
    ["{{", "}}", "{%", "%}", "{#", "#}", " if a ", " endif ", " for m in a ", " endfor ", "'", '"']
)
templates = st.lists(pieces | st.text(max_size=4), max_size=12).map("".join) | st.just("{{ " + "(" * 300 + ")" * 300)


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(sorted(contents.NAMES)), contents_of_files | templates.map(lambda text: text.encode()))
def test_any_content_is_right_or_has_its_fault(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    fault = contents.fault_in(tmp_path / name)
    assert fault is None or 0 < len(fault) < 2000


def without_jinja2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes jinja2 impossible to import, as on a host with the standard library alone."""
    whole = builtins.__import__

    def bare(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "jinja2":
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", bare)


def test_a_filter_that_no_engine_has_is_found_where_jinja2_is(model_dir: Path) -> None:
    (model_dir / "chat_template.jinja").write_text("{{ messages | no_such_filter }}")
    assert "a chat template that jinja2 does not compile (No filter named 'no_such_filter'.)" in refusal(model_dir)


@pytest.mark.parametrize(
    "text", ["{% for a in b %}" * 30 + "{% endfor %}" * 30, "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}"]
)
def test_a_template_too_deep_to_compile_is_refused(model_dir: Path, text: str) -> None:
    (model_dir / "chat_template.jinja").write_text(text)
    assert "a chat template that jinja2 does not compile" in refusal(model_dir)


def test_a_manifest_does_not_make_a_broken_file_right(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model_dir / "tokenizer.json").write_text("{}")
    with monkeypatch.context() as earlier:
        earlier.setattr(contents, "fault_in", lambda path: None)
        weights.write_manifest(model_dir, "tiny", "2")
    with pytest.raises(WeightsError, match=r"tokenizer.json: found: a tokenizer without a vocabulary"):
        weights.verify(model_dir, full=False)


@pytest.mark.parametrize(
    "name",
    [
        ".cache/huggingface/download/config.json.metadata",
        ".cache/huggingface/.gitignore",
        "model-00003-of-00003.safetensors.incomplete",
        "tokenizer.json.lock",
        ".git/lfs/objects/ab/cd/abcd",
    ],
)
def test_what_the_downloader_keeps_for_itself_is_no_part_of_the_model(model_dir: Path, name: str) -> None:
    before = (model_dir / "manifest.json").read_bytes()
    (model_dir / name).parent.mkdir(parents=True, exist_ok=True)
    (model_dir / name).write_text("x")
    weights.verify(model_dir, full=True)
    weights.write_manifest(model_dir, "tiny", "test-1")
    assert (model_dir / "manifest.json").read_bytes() == before


def test_another_hidden_folder_is_listed(model_dir: Path) -> None:
    (model_dir / "sub/.cache/huggingface").mkdir(parents=True)
    (model_dir / "sub/.cache/huggingface/x").write_text("x")
    assert "sub/.cache/huggingface/x" in {entry.path for entry in weights.write_manifest(model_dir, "tiny", "2").files}


def test_a_publishers_own_file_beside_the_index_is_listed_and_noted(
    model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_safetensors(model_dir / "mtp.safetensors", {"mtp.fc": b"f"})
    assert main(["weights", "manifest", str(model_dir), "--model", "tiny", "--revision", "2"]) == 0
    assert "note: the index does not name mtp.safetensors" in capsys.readouterr().out
    assert "mtp.safetensors" in weights.verify(model_dir, full=True).tensors


def second_model(directory: Path) -> None:
    write_safetensors(directory / "model.safetensors", {"other.weight": b"o"})


def shard_of_another_revision(directory: Path) -> None:
    write_safetensors(directory / "model-00001-of-00003.safetensors", {"other.weight": b"o"})


def second_copy(directory: Path) -> None:
    write_safetensors(directory / "consolidated.safetensors", {"tok_embeddings": b"o"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (second_model, "model.safetensors: found: a shard that the index does not name"),
        (shard_of_another_revision, "model-00001-of-00003.safetensors: found: a shard that the index does not name"),
        (second_copy, "consolidated.safetensors: found: the weights once more"),
    ],
)
def test_two_models_in_one_directory_are_refused_with_the_reason(
    model_dir: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(model_dir)
    assert message in refusal(model_dir)


def test_an_index_of_a_thousand_shards_is_read(model_dir: Path) -> None:
    for shard in SHARDS:
        (model_dir / shard).unlink()
    names = {f"layer.{number}": f"model-{number:05}-of-01000.safetensors" for number in range(1, 1001)}
    for tensor, shard in names.items():
        write_safetensors(model_dir / shard, {tensor: b"x"})
    write_index(model_dir, names)
    assert len(weights.write_manifest(model_dir, "tiny", "2").tensors) == 1000
    (model_dir / names["layer.500"]).unlink()
    assert f"shard '{names['layer.500']}'" in refusal(model_dir)
