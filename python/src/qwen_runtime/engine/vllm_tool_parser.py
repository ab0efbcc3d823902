"""A plug-in of vLLM: its parser of Qwen3-Coder's calls, which finds the types of values behind references too.

A model writes each value of a call as text, and vLLM turns it into what the function's schema says. vLLM 0.32 does not
look behind "$ref", by which pydantic writes nested objects, and so many servers of the Model Context Protocol: their
functions got text in place of the object. vLLM loads this file by --tool-parser-plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionToolsParam
from vllm.tool_parsers import ToolParserManager
from vllm.tool_parsers.qwen3_engine_tool_parser import Qwen3EngineToolParser


def resolved(schema: Any, root: Mapping[str, Any], within: frozenset[str] = frozenset()) -> Any:
    """The schema with what its references point to in their place. One that points to itself, or nowhere, stays."""
    if isinstance(schema, list):
        return [resolved(each, root, within) for each in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in within:
        target = _find(reference, root)
        if isinstance(target, dict):
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return resolved({**target, **beside}, root, within | {reference})
    return {key: resolved(value, root, within) for key, value in schema.items()}


def _find(reference: str, root: Mapping[str, Any]) -> Any:
    """The part of a schema that a JSON pointer in it names ("#/$defs/Spot"); None where there is none."""
    start, *names = reference.split("/")
    part: Any = root
    for name in names:
        part = part.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(part, dict) else None
    return part if start == "#" else None


def with_types(tool: Any) -> Any:
    """A copy of a tool of a chat request, with its references resolved; other kinds of tool stay as they are."""
    if not isinstance(tool, ChatCompletionToolsParam) or not tool.function.parameters:
        return tool
    parameters = resolved(tool.function.parameters, tool.function.parameters)
    return tool.model_copy(update={"function": tool.function.model_copy(update={"parameters": parameters})})


class CoderToolParser(Qwen3EngineToolParser):  # type: ignore[misc]
    """vLLM makes one for each answer."""

    _typed: Any = None

    def extract_tool_calls(self, model_output: str, request: Any) -> Any:
        return super().extract_tool_calls(model_output, self._with_types(request))

    def extract_tool_calls_streaming(self, *texts_and_ids: Any) -> Any:
        *before, request = texts_and_ids
        return super().extract_tool_calls_streaming(*before, self._with_types(request))

    def _with_types(self, request: Any) -> Any:
        """The request with typed tools. It is made once, since a stream asks for it with each of its parts."""
        if self._typed is None:
            tools = request.tools and [with_types(tool) for tool in request.tools]
            self._typed = request.model_copy(update={"tools": tools})
        return self._typed


ToolParserManager.register_module("qwen3_coder", module=CoderToolParser)
