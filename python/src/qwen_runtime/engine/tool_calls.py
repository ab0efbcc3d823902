"""Tool calls: vLLM's parser for the form in which a model writes them, told by its chat template.

A template shows the model how to call tools, so it decides, not the name that somebody gave to a directory. Only models
that were planned by a name of the catalogue, without their files, are told by that name.
"""

from __future__ import annotations

from qwen_runtime.sizing.shape import Shape

# Marks that all stand in a template, and the parser: the names of vLLM 0.32's vllm/tool_parsers. Several forms stand
# between <tool_call> tags, so the plainest comes last.
FORMS = (
    (("<function=", "<parameter="), "qwen3_coder"),
    (("<arg_key>", "<arg_value>"), "glm45"),
    (("<minimax:tool_call>",), "minimax_m2"),
    (("<｜tool▁call▁begin｜>", "```json"), "deepseek_v3"),
    (("<｜tool▁call▁begin｜>",), "deepseek_v31"),
    (("<|channel|>", "<|recipient|>"), "openai"),
    (("<|channel|>commentary",), "openai"),
    (("[TOOL_CALLS]",), "mistral"),
    (("<|python_tag|>",), "llama3_json"),
    (("<tool_call>",), "hermes"),
)
PUBLISHED = (
    ("qwen3-coder", "qwen3_coder"),
    ("qwen3.5", "qwen3_coder"),
    ("qwen2.5", "hermes"),
    ("qwen3", "hermes"),
    ("glm-4", "glm45"),
    ("deepseek", "deepseek_v3"),
    ("gpt-oss", "openai"),
    ("minimax-m2", "minimax_m2"),
)
"""Begins of names of the catalogue, and the parser for the templates that were published with them."""


def parser(shape: Shape) -> str | None:
    """vLLM's parser for the model's tool calls; None where it writes none that is known here."""
    if shape.chat_template is None:
        name = shape.name.lower()
        return next((parser for start, parser in PUBLISHED if name.startswith(start)), None)
    return next((parser for marks, parser in FORMS if all(mark in shape.chat_template for mark in marks)), None)


def warning(shape: Shape) -> str | None:
    """A fact that an operator should know where calls are not parsed, or may not be written in the parser's form."""
    if (form := parser(shape)) == "hermes" and shape.family == "qwen2":
        return (
            f"tool calls that {shape.name} chooses by itself are not promised: Qwen2.5-Coder-1.5B wrote all of 18 as a "
            "code block in JSON, which reaches clients as text; 36 of 36 came with tool_choice `required` or a name. "
            "`qwen-runtime evaluate tools` counts them"
        )
    if form:
        return None
    if shape.chat_template is None:
        why = f"{shape.name} is not known to write any"
    elif shape.chat_template:
        why = "its chat template shows none in a form that is known here"
    else:
        why = "it has no chat template"
    return (
        f"tool calls of {shape.name} reach clients as text: {why}. Coding agents need them; vLLM takes another parser "
        "by --enable-auto-tool-choice and --tool-call-parser"
    )
