"""Texts are scored whole, divided into batches, or refused before a model is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qwen_runtime.cli import build_parser, main
from qwen_runtime.engine.score import batches, texts
from qwen_runtime.errors import UsageError
from qwen_runtime.plan import make, plan

MOE = {"model_type": "qwen3_moe", "num_hidden_layers": 62, "num_experts": 160}


class Letters:
    """A tokenizer: a letter a token, and a blank joined to the letter after it."""

    bos_token_id, eos_token_id = None, 0

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [
            ord(letter) + (1000 if text[index - 1 : index] == " " else 0)
            for index, letter in enumerate(text)
            if letter != " "
        ]


def spans(max_length: int, *items: texts.Item) -> list[texts.Span]:
    return texts.spans(list(items), Letters(), max_length)  # type: ignore[arg-type]


def test_every_token_of_a_text_is_scored_once_with_the_longest_context_at_its_end() -> None:
    divided = spans(4, texts.Item(1, None, "abcdefghij"))
    assert ["".join(map(chr, span.scored)) for span in divided] == ["abcd", "efgh", "ij"]
    assert ["".join(map(chr, span.context)) for span in divided] == ["\0", "d", "fgh"]
    assert [len(span.inputs) for span in divided] == [4, 4, 4]


def test_a_short_text_begins_after_the_token_that_begins_texts() -> None:
    [span] = spans(8, texts.Item(1, None, "ab"))
    assert (span.inputs, span.scored, span.first) == ((0, ord("a")), (ord("a"), ord("b")), 0)


def test_a_blank_at_the_end_of_a_prompt_belongs_to_the_continuation() -> None:
    one, other = spans(8, texts.Item(1, "a ", "b"), texts.Item(2, "a", " b"))
    assert one.scored == other.scored == (ord("b") + 1000,)
    assert one.context == other.context == (ord("a"),)


def test_a_prompt_that_is_too_long_loses_its_begin_and_a_continuation_is_never_cut() -> None:
    [span] = spans(4, texts.Item(1, "abcdef", "xyz"))
    assert "".join(map(chr, (*span.context, *span.scored))) == "efxyz"
    assert spans(4, texts.Item(1, "", "wxyz"))[0].context == (0,)
    with pytest.raises(UsageError, match=r"item 'long' has a continuation of 5 tokens\nneeded: 1 to 4"):
        spans(4, texts.Item("long", "a", "vwxyz"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no object"),
        ('{"prompt": "a"}', r"the keys \['prompt'\]"),
        ('{"text": "a", "continuation": "b"}', "the keys"),
        ('{"text": 1}', "text is no text"),
        ('{"text": ""}', "an empty text"),
        ('{"prompt": "a", "continuation": ""}', "an empty text"),
        ('{"text": "\\ud800"}', "half of a surrogate pair"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "input.jsonl"
    path.write_text('{"text": "fine"}\n\n' + line + "\n")
    with pytest.raises(UsageError, match=f"line 3: {message}"):
        texts.read(path)


def test_a_batch_has_one_shape_and_holds_every_span_once() -> None:
    lengths = [5, 1, 9, 3, 3, 8, 2, 7, 4]
    divided = batches.divide(lengths, micro_batches=2, batch_tokens=16)
    assert sorted(index for batch in divided for part in batch.micro_batches for index in part) == list(range(9))
    for batch in divided:
        assert 1 <= len(batch.micro_batches) <= 2
        assert all(1 <= len(part) <= batch.rows for part in batch.micro_batches)
        assert max(lengths[index] for part in batch.micro_batches for index in part) == batch.width
        assert batch.rows * batch.width <= 16 or batch.rows == 1


def test_the_planned_arguments_are_those_of_the_command() -> None:
    scoring = plan(make(model="Qwen3-Coder-480B-A35B-Instruct", gpu="h200-141gb", gpus_per_node=8, engine="deepspeed"))
    files = ["--model", "m", "--input", "i", "--output", "o"]
    options = build_parser().parse_args(["score", *files, *scoring.launch["deepspeed"]])
    layout, wishes = scoring.best.layout, scoring.request.wishes
    assert (options.engine, options.stages) == ("deepspeed", layout.pipeline_parallel)
    assert (options.max_length, options.dtype) == (wishes.context_tokens, "bfloat16")


@pytest.mark.parametrize(
    ("config", "flags", "message"),
    [
        (MOE, ("--stages", "63"), "--stages 63 for 62 layers"),
        (MOE, ("--engine", "deepspeed", "--quantization", "int8"), "take them from the shards as they are"),
        (MOE | {"quantization_config": {"quant_method": "fp8"}}, (), "a checkpoint that is quantized"),
        (MOE, ("--engine", "transformers", "--stages", "4"), "one process"),
        ({"model_type": "gpt2"}, (), "a model of type gpt2 for engine deepspeed"),
        (MOE | {"layer_types": ["sliding_attention"]}, (), "full attention in every layer"),
    ],
)
def test_what_cannot_be_scored_so_is_refused(
    model_dir: Path, capsys: pytest.CaptureFixture[str], config: dict[str, Any], flags: tuple[str, ...], message: str
) -> None:
    (model_dir / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 64}))
    assert main(["weights", "manifest", str(model_dir), "--model", "tiny", "--revision", "2"]) == 0
    files = ("--model", str(model_dir), "--input", "none", "--output", "none")
    assert main(["score", *files, *flags]) == 2
    assert message in capsys.readouterr().err
