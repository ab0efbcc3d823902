"""Turns messages and texts into tokens and back. A long prompt takes long, so a thread of its own does it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jinja2 import TemplateError
from tokenizers.decoders import DecodeStream

from qwen_runtime.engine.transformers.refusals import bad_request
from qwen_runtime.engine.transformers.schema import ChatRequest, CompletionRequest

BEFORE_TOKENS = 4


class Prompts:
    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = len(tokenizer)
        # One thread: a tokenizer of transformers changes its own state while it works.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompts")

    async def of_chat(self, request: ChatRequest) -> list[int]:
        if self._tokenizer.chat_template is None:
            raise bad_request("The served model has no chat template; ask /v1/completions.", "messages")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._render, request)

    def _render(self, request: ChatRequest) -> list[int]:
        messages = [{"role": message.template_role(), "content": message.text()} for message in request.messages]
        try:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise bad_request(f"The model's chat template refuses these messages: {error}", "messages") from None
        # The template has written the special tokens that it wants.
        return self._tokenize(text, "messages", add_special_tokens=False)

    async def of_completion(self, request: CompletionRequest) -> list[int]:
        prompt = request.prompt
        if isinstance(prompt, str):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._tokenize, prompt, "prompt", True)
        if not prompt:
            raise bad_request("The prompt has no token.", "prompt")
        if max(prompt) >= self._vocabulary:
            raise bad_request(f"Token {max(prompt)} is outside the vocabulary of {self._vocabulary}.", "prompt")
        return prompt

    def _tokenize(self, text: str, field: str, add_special_tokens: bool) -> list[int]:
        tokens: list[int] = self._tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"]
        if not tokens:
            raise bad_request("The prompt has no token.", field)
        return tokens

    def text_after(self, prompt: Sequence[int]) -> Detokenizer:
        return Detokenizer(self._tokenizer.backend_tokenizer, prompt)

    def token_text(self, token: int) -> str:
        """Text of a token alone; the parts of a character that several tokens make up show as U+FFFD."""
        text: str = self._tokenizer.decode([token])
        return text


class Detokenizer:
    """Text of an answer, token by token: a character appears with its last token."""

    def __init__(self, tokenizer: Any, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        # The prompt's end goes before the answer, because some tokenizers write a word differently at the beginning. It
        # does not where it ends within a character: then the stream would give it out together with the answer.
        before = list(prompt[-BEFORE_TOKENS:])
        cut = tokenizer.decode(before).endswith("\N{REPLACEMENT CHARACTER}")
        self._stream = DecodeStream(ids=[] if cut else before, skip_special_tokens=True)

    def feed(self, token: int) -> str:
        return self._stream.step(self._tokenizer, token) or ""
