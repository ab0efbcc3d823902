"""A value for every field that vLLM's schema documents, and the status with which it is answered.

A value asks for what the field is there for, so that the code behind it runs. 400 stands where the served model or this
way of serving has no such thing.
"""

from __future__ import annotations

from typing import Any

from tests.support.client import CHAT, COMPLETIONS, Json

Field = tuple[Any, int]
"""A value, or a whole body where the field needs others beside it, and the status of the answer."""


def beside(**body: Any) -> Json:
    """A value that needs other fields beside it."""
    return {"beside": body}


TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
ADD = {"type": "function", "function": {"name": "add"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": TOOL["function"]["parameters"]}}
COMMON: dict[str, Field] = {
    "add_special_tokens": (True, 200),
    "allowed_token_ids": ([28, 29, 30], 200),
    "bad_words": (["the"], 200),
    "cache_salt": ("one client's own", 200),
    "ec_transfer_params": ({}, 200),
    "frequency_penalty": (0.5, 200),
    "ignore_eos": (True, 200),
    "include_stop_str_in_output": (beside(include_stop_str_in_output=True, stop="a"), 200),
    "kv_transfer_params": ({}, 200),
    "length_penalty": (beside(length_penalty=0.5, use_beam_search=True, n=2), 200),
    "logit_bias": ({"28": 5.0}, 200),
    "max_tokens": (3, 200),
    "min_p": (beside(min_p=0.1, temperature=0.8), 200),
    "min_tokens": (2, 200),
    "mm_payload": ("none", 200),
    "n": (beside(n=2, temperature=0.8), 200),
    "presence_penalty": (0.5, 200),
    "priority": (1, 200),
    "prompt_logprobs": (2, 200),
    "repetition_detection": ({"max_pattern_size": 2, "min_count": 2}, 200),
    "repetition_penalty": (1.2, 200),
    "request_id": ("a-request", 200),
    "response_format": (SCHEMA, 200),
    "return_mm_kwargs": (True, 200),
    "return_token_ids": (True, 200),
    "return_token_offsets": (True, 200),
    "routed_experts_prompt_start": (1, 200),
    "seed": (beside(seed=7, temperature=0.8), 200),
    "session_id": ("a-session", 200),
    "skip_special_tokens": (False, 200),
    "spaces_between_special_tokens": (False, 200),
    "stop": (["a", "e"], 200),
    "stop_token_ids": ([28], 200),
    "stream": (True, 200),
    "stream_interval": (beside(stream=True, stream_interval=2), 200),
    "stream_options": (beside(stream=True, stream_options={"include_usage": True}), 200),
    "structured_outputs": ({"regex": "[a-c]{3}"}, 200),
    "temperature": (0.8, 200),
    "thinking_token_budget": (5, 400),
    "top_k": (beside(top_k=5, temperature=0.8), 200),
    "top_p": (beside(top_p=0.9, temperature=0.8), 200),
    "truncate_prompt_tokens": (4, 200),
    "truncation_side": (beside(truncate_prompt_tokens=4, truncation_side="left"), 200),
    "use_beam_search": (beside(use_beam_search=True, n=2), 200),
    "user": ("someone", 200),
    "vllm_xargs": ({"own": 1}, 200),
    "watermarking": (True, 200),
}
ONLY: dict[str, dict[str, Field]] = {
    CHAT: {
        "add_generation_prompt": (False, 200),
        "chat_template": ("{{ messages[0].content }}", 400),
        "chat_template_kwargs": ({"own": 1}, 200),
        "continue_final_message": (beside(continue_final_message=True, add_generation_prompt=False), 200),
        "documents": ([{"title": "a", "text": "b"}], 200),
        "echo": (True, 200),
        "include_reasoning": (False, 200),
        "logprob_token_ids": (beside(logprobs=True, logprob_token_ids=[28, 29]), 200),
        "logprobs": (True, 200),
        "max_completion_tokens": (3, 200),
        "media_io_kwargs": ({}, 200),
        "messages": ([{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello"}], 200),
        "mm_processor_kwargs": ({}, 200),
        "parallel_tool_calls": (beside(tools=[TOOL], tool_choice=ADD, parallel_tool_calls=False), 200),
        "reasoning_effort": ("low", 200),
        "return_prompt_text": (True, 200),
        "return_tokens_as_token_ids": (beside(logprobs=True, return_tokens_as_token_ids=True), 200),
        "tool_choice": (beside(tools=[TOOL], tool_choice="required"), 200),
        "tools": (beside(tools=[TOOL], tool_choice=ADD), 200),
        "top_logprobs": (beside(logprobs=True, top_logprobs=3), 200),
    },
    COMPLETIONS: {
        "echo": (beside(echo=True, logprobs=2), 200),
        "logprob_token_ids": (beside(logprobs=1, logprob_token_ids=[28, 29]), 200),
        "logprobs": (3, 200),
        "prompt": (["one two", "three four"], 200),
        "prompt_embeds": ("AAAA", 400),
        "return_tokens_as_token_ids": (beside(logprobs=1, return_tokens_as_token_ids=True), 200),
        "suffix": ("end", 400),
    },
}
BODIES: dict[str, Json] = {
    CHAT: {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4},
    COMPLETIONS: {"prompt": "def add(a, b):", "max_tokens": 4},
}


def fields(path: str) -> dict[str, Field]:
    return {**COMMON, **ONLY[path]}


def request(path: str, name: str) -> tuple[Json, int]:
    """A good request with that field, and the status of its answer."""
    value, status = fields(path)[name]
    chosen = value["beside"] if isinstance(value, dict) and "beside" in value else {name: value}
    return {**BODIES[path], **chosen}, status
