"""The chat template decides how tool calls are parsed, whatever the directory is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from qwen_runtime.plan import build, make, plan

from tests.fakes.model_files import dense_config

TEMPLATES = {
    "qwen3_coder": "<tool_call>\n<function=example>\n<parameter=a>\nvalue\n</parameter>",
    "hermes": '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>',
    "glm45": "<tool_call>{name}\n<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>",
    "minimax_m2": '<minimax:tool_call>\n<invoke name="tool">',
    "openai": "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>",
    "mistral": "[TOOL_CALLS]f[ARGS]",
    "deepseek_v3": "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json",
}


def planned(directory: Path, **files: object) -> tuple[list[str], list[str]]:
    """The arguments of vLLM, and the warnings."""
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(dense_config("qwen2", 8192)))
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / name.replace("__", ".")).write_text(text)
    wish = make(model=str(directory), gpu="h100-80gb", gpus_per_node=1, context_tokens=4096)
    result = plan(wish)
    return result.launch["vllm"], build(result)["warnings"]


@pytest.mark.parametrize("parser", TEMPLATES)
@pytest.mark.parametrize("name", ["coder-prod", "qwen2.5-coder"])
def test_the_template_decides_whatever_the_directory_is_called(tmp_path: Path, name: str, parser: str) -> None:
    words, warnings = planned(tmp_path / name, chat_template__jinja=TEMPLATES[parser])
    assert words[-3:] == ["--enable-auto-tool-choice", "--tool-call-parser", parser]
    assert not any("reach clients as text" in warning for warning in warnings)


@pytest.mark.parametrize(("parser", "told"), [("hermes", True), ("qwen3_coder", False)])
def test_calls_that_were_not_seen_to_come_are_not_promised(tmp_path: Path, parser: str, told: bool) -> None:
    _, warnings = planned(tmp_path, chat_template__jinja=TEMPLATES[parser])
    assert any("are not promised" in warning for warning in warnings) is told


@pytest.mark.parametrize(
    "config",
    [
        {"chat_template": TEMPLATES["hermes"]},
        {
            "chat_template": [
                {"name": "default", "template": "plain"},
                {"name": "tool_use", "template": TEMPLATES["hermes"]},
            ]
        },
    ],
)
def test_a_template_in_the_tokenizers_configuration_counts_too(tmp_path: Path, config: dict[str, object]) -> None:
    assert planned(tmp_path, tokenizer_config__json=config)[0][-1] == "hermes"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"chat_template__jinja": "{{ messages }}"}, "its chat template shows none"),
        ({}, "it has no chat template"),
        ({"tokenizer_config__json": "{"}, "it has no chat template"),
    ],
)
def test_calls_that_nobody_parses_are_told(tmp_path: Path, files: dict[str, object], why: str) -> None:
    words, warnings = planned(tmp_path / "qwen3-coder-prod", **files)
    assert "--tool-call-parser" not in words
    assert [why in warning for warning in warnings if "tool calls" in warning] == [True]


@pytest.mark.parametrize(
    ("model", "parser"),
    [("Qwen3-Coder-480B-A35B-Instruct-FP8", "qwen3_coder"), ("Qwen3-Coder-Next", "qwen3_coder"), ("GLM-4.6", "glm45")],
)
def test_a_name_of_the_catalogue_stands_for_its_published_template(model: str, parser: str) -> None:
    result = plan(make(model=model, gpu="h200-141gb", gpus_per_node=8))
    assert result.launch["vllm"][-1] == parser
