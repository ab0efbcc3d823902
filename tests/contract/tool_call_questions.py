"""A program for the serving environment's Python: what does a client get for what a model wrote?

    python tool_call_questions.py QUESTIONS

QUESTIONS is JSON: {"plugin": text of the plug-in that vLLM is started with, "tools": [...], "texts": {name: [text,
finish reason of the engine, tool_choice]}}. vLLM's own code makes answers of each text, with the tool parser
qwen3_coder: one that is not streamed, and streamed ones with the text cut at every border between two tokens, and
once at all of them. A token here is one byte, so that no tokenizer hides a border. The answer, the last line of
stdout, is JSON: {name: {"whole": view, "streamed": [[view, [borders]], ...]}}, equal views of streams taken together.
A view is what a client holds at the end: {"content", "calls": [[name, arguments]], "finish"}.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

QUIET = {"VLLM_TARGET_DEVICE": "cpu", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
MODEL = "m"
PROMPT = [0]
MARKS = ("<tool_call>", "</tool_call>")
View = dict[str, Any]


def byte_tokenizer() -> Any:
    """A token for each byte, and for what Qwen's tokenizers hold as one token too: the marks of a call."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(mark, normalized=False) for mark in MARKS])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


class Server:
    """vLLM's server of chat completions as far as it makes answers of an engine's output; the engine is this script."""

    def __init__(self, tools: Sequence[dict[str, Any]]) -> None:
        from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
        from vllm.parser import ParserManager

        self._tools = tools
        self._tokenizer = byte_tokenizer()
        # Its constructor wants a running engine; these are the attributes that its two generators read.
        self._chat = OpenAIServingChat.__new__(OpenAIServingChat)
        self._chat.__dict__ |= {
            "model_config": None,
            "response_role": "assistant",
            "enable_auto_tools": True,
            "parser_cls": ParserManager.get_parser(
                tool_parser_name="qwen3_coder", reasoning_parser_name="", enable_auto_tools=True, model_name=MODEL
            ),
            **dict.fromkeys(("request_logger", "system_fingerprint")),
            **dict.fromkeys(
                (
                    *("enable_log_outputs", "enable_prompt_tokens_details", "enable_per_request_metrics"),
                    *("enable_force_include_usage", "_include_reasoning_tokens_details"),
                ),
                False,
            ),
        }

    def whole(self, text: str, finish: str, choice: object) -> View:
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        request, common = self._request(choice, stream=False)
        outputs = self._outputs([(text, ids)], finish)
        parser = self._chat._make_parser(request, self._tokenizer, None)
        answer = asyncio.run(self._chat.chat_completion_full_generator(request, outputs, *common, parser=parser))
        [choice] = json.loads(answer.model_dump_json())["choices"]
        calls = [call["function"] for call in choice["message"].get("tool_calls") or []]
        return view(
            choice["message"].get("content"), [[c["name"], c["arguments"]] for c in calls], choice["finish_reason"]
        )

    def streamed(self, text: str, finish: str, choice: object, borders: Iterable[int]) -> View:
        from tokenizers.decoders import DecodeStream

        ids = self._tokenizer.encode(text, add_special_tokens=False)
        decoder = DecodeStream(skip_special_tokens=False)  # vLLM's detokenizer uses it too: it holds back half letters
        texts = [decoder.step(self._tokenizer._tokenizer, token) or "" for token in ids]
        edges = [0, *borders, len(ids)]
        parts = [("".join(texts[a:b]), ids[a:b]) for a, b in itertools.pairwise(edges)]
        request, common = self._request(choice, stream=True)
        stream = self._chat.chat_completion_stream_generator(request, self._outputs(parts, finish), *common)
        return asyncio.run(accumulate(stream))

    def borders(self, text: str) -> range:
        return range(1, len(self._tokenizer.encode(text, add_special_tokens=False)))

    def _request(self, choice: object, *, stream: bool) -> tuple[Any, tuple[Any, ...]]:
        from vllm.entrypoints.generate.base.protocol import RequestResponseMetadata
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        messages = [{"role": "user", "content": "x"}]
        asked = {"model": MODEL, "messages": messages, "tools": self._tools, "tool_choice": choice, "stream": stream}
        request = ChatCompletionRequest.model_validate(asked)
        return request, ("r", MODEL, [], self._tokenizer, RequestResponseMetadata(request_id="r"))

    @staticmethod
    async def _outputs(parts: Sequence[tuple[str, list[int]]], finish: str) -> AsyncIterator[Any]:
        from vllm.outputs import CompletionOutput, RequestOutput

        for number, (text, ids) in enumerate(parts, 1):
            last = number == len(parts)
            output = CompletionOutput(0, text, ids, None, None, finish_reason=finish if last else None)
            yield RequestOutput("r", None, PROMPT, None, [output], finished=last)


async def accumulate(stream: AsyncIterator[str]) -> View:
    """Joins events as clients do: text and arguments are joined, a call is known by its index."""
    content, calls, finish = "", {}, None
    async for line in stream:
        data = line.removeprefix("data: ").strip()
        if data == "[DONE]":
            continue
        event = json.loads(data)
        if "error" in event:
            return view(json.dumps(event["error"]), [], "error")
        for choice in event["choices"]:
            finish = choice.get("finish_reason") or finish
            content += choice["delta"].get("content") or ""
            for part in choice["delta"].get("tool_calls") or []:
                call = calls.setdefault(part["index"], ["", ""])
                call[0] += part.get("function", {}).get("name") or ""
                call[1] += part.get("function", {}).get("arguments") or ""
    return view(content, [call for _, call in sorted(calls.items())], finish)


def view(content: str | None, calls: list[list[str]], finish: str | None) -> View:
    return {"content": content or None, "calls": calls, "finish": finish}


def answers(server: Server, text: str, finish: str, choice: object = "auto") -> dict[str, Any]:
    seen: list[tuple[View, list[int]]] = []
    cuts = [[border] for border in server.borders(text)]
    for borders in [*cuts, list(server.borders(text))]:
        events = server.streamed(text, finish, choice, borders)
        same = next((places for other, places in seen if other == events), None)
        if same is None:
            seen.append((events, same := []))
        same.append(borders[0] if len(borders) == 1 else 0)
    return {"whole": server.whole(text, finish, choice), "streamed": seen}


def main() -> None:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    questions = json.loads(sys.argv[1])
    exec(compile(questions["plugin"], "plugin", "exec"), {"__name__": "plugin"})
    server = Server(questions["tools"])
    print(json.dumps({name: answers(server, *question) for name, question in questions["texts"].items()}))


if __name__ == "__main__":
    main()
