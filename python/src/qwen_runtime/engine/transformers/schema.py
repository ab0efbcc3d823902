"""The requests that are understood, field by field. Any other field is refused: nothing that would change an answer is
ever ignored.

A field that can do nothing here is listed with the values that ask for nothing, because clients send it: labels, hints,
and the empty fields that SDKs and vLLM write into answers, which agents send back with the history.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from qwen_runtime.engine.transformers.sampling import Sampling

MAX_STOPS = 64
MAX_LOGPROBS = 20
"""The limit of OpenAI's API and vLLM."""
INT64_MAX = 2**63 - 1
COMPLETION_TOKENS = 16
"""Most tokens of a completion that names no max_tokens, as OpenAI's API and vLLM have it."""


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{error.object[error.start]!r} at {error.start} is half a character (a lone surrogate)"
        ) from None
    return text


Text = Annotated[str, AfterValidator(_encodable)]
StopString = Annotated[Text, Field(min_length=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
TokenId = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


NoList = Annotated[list[Any], Field(max_length=0)] | None
NoObject = Annotated[dict[str, Any], Field(max_length=0)] | None
NoText = Literal[""] | None
Zero = Annotated[float, Field(ge=0, le=0)] | None


class StreamOptions(Strict):
    include_usage: bool | None = False
    continuous_usage_stats: Literal[False] | None = None
    include_obfuscation: bool | None = None  # padding against eavesdroppers, which no text is


class TextFormat(Strict):
    type: Literal["text"]


class TextPart(Strict):
    type: Literal["text"]
    text: Text
    cache_control: dict[str, Any] | None = None  # a hint for the cache of another provider


def _text(content: str | list[TextPart] | None) -> str:
    return "\n".join(part.text for part in content) if isinstance(content, list) else content or ""


class Said(Strict):
    """A message of those who ask."""

    role: Literal["system", "developer", "user"]
    content: Text | list[TextPart]
    name: None = None

    def template_role(self) -> str:
        """The role for the chat template: OpenAI calls the system's instructions those of the developer now, which the
        templates of Qwen and Llama do not know."""
        return "system" if self.role == "developer" else self.role

    def text(self) -> str:
        return _text(self.content)


class Answered(Strict):
    """An answer that is sent back with the history; what it had no use for is empty."""

    role: Literal["assistant"]
    content: Text | list[TextPart] | None = None
    tool_calls: NoList = None
    function_call: None = None
    annotations: NoList = None
    audio: None = None
    refusal: NoText = None
    reasoning: NoText = None
    reasoning_content: NoText = None
    name: None = None

    def template_role(self) -> str:
        return self.role

    def text(self) -> str:
        return _text(self.content)


Message = Annotated[Said | Answered, Field(discriminator="role")]


class Request(Strict):
    """The common fields of chat and completions."""

    model: Text | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=INT64_MAX)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = Field(None, ge=-INT64_MAX - 1, le=INT64_MAX)
    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None = None
    ignore_eos: bool = False
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    # Labels for the caller's own books.
    user: Text | None = None
    metadata: dict[str, Text] | None = None
    safety_identifier: Text | None = None
    prompt_cache_key: Text | None = None

    n: Literal[1] | None = 1
    min_p: Zero = None
    min_tokens: Annotated[int, Field(ge=0, le=0)] | None = None
    skip_special_tokens: Literal[True] | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None

    def stops(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def wanted_logprobs(self) -> int | None:
        raise NotImplementedError

    def sampling(self, defaults: dict[str, Any]) -> Sampling:
        """The request's settings. As in vLLM, it wins over `defaults`, which are the model's generation_config.json."""
        chosen = {name: getattr(self, name) for name in SAMPLED if getattr(self, name) is not None}
        values = {**defaults, **chosen}
        return Sampling(
            **{**values, "top_k": max(values.get("top_k", 0), 0)},
            seed=secrets.randbits(63) if self.seed is None else self.seed,
            logprobs=self.wanted_logprobs(),
        )


SAMPLED = ("temperature", "top_p", "top_k", "repetition_penalty", "presence_penalty", "frequency_penalty")


class ChatRequest(Request):
    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)

    response_format: TextFormat | None = None
    tool_choice: Literal["none", "auto"] | None = None  # there are no tools to choose from
    tools: NoList = None
    functions: NoList = None
    function_call: Literal["none"] | None = None
    parallel_tool_calls: bool | None = None  # how calls come, where there are some
    modalities: list[Literal["text"]] | None = None
    add_generation_prompt: Literal[True] | None = None
    continue_final_message: Literal[False] | None = None
    chat_template_kwargs: NoObject = None
    reasoning_effort: None = None
    verbosity: None = None
    prediction: None = None

    def wanted_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    def wanted_tokens(self) -> tuple[int | None, str]:
        """The most tokens that are asked for, and the field that asks."""
        if self.max_completion_tokens is not None:
            return self.max_completion_tokens, "max_completion_tokens"
        return self.max_tokens, "max_tokens"


class CompletionRequest(Request):
    prompt: Text | list[TokenId]
    logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)

    best_of: Literal[1] | None = 1
    echo: Literal[False] | None = False
    suffix: Literal[""] | None = None

    def wanted_logprobs(self) -> int | None:
        return self.logprobs

    def wanted_tokens(self) -> tuple[int | None, str]:
        return COMPLETION_TOKENS if self.max_tokens is None else self.max_tokens, "max_tokens"
