"""Texts to score, in tokens. The meaning of both kinds of line is that of lm-evaluation-harness.

{"text": T}                       loglikelihood_rolling: every token of T, the first after the beginning-of-text token
{"prompt": P, "continuation": C}  loglikelihood: the tokens of C after P

Source: https://github.com/EleutherAI/lm-evaluation-harness, lm_eval/api/model.py and lm_eval/utils.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_runtime.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KINDS = ({"text"}, {"prompt", "continuation"})
FORM = 'an object with "text", or with "prompt" and "continuation", each a text; "id" if you like'


@dataclass(frozen=True, slots=True)
class Item:
    id: object
    prompt: str | None
    """None: the whole text is scored."""
    scored: str


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens that are scored, after a context of at least one token that is not."""

    item: int
    """Index of the item that it belongs to; a long text has several spans."""
    context: tuple[int, ...]
    scored: tuple[int, ...]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Tokens that the model sees: the last one is only predicted."""
        return (*self.context, *self.scored)[:-1]

    @property
    def first(self) -> int:
        """Index in the inputs whose prediction is the first scored token."""
        return len(self.context) - 1


def read(path: Path) -> list[Item]:
    """The items of a JSON lines file. Raises UsageError that names the line."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error})", "a file of JSON lines in UTF-8", "Correct it.") from error
    items = [_item(line, number, path) for number, line in enumerate(lines, 1) if line.strip()]
    if not items:
        raise UsageError(f"{path} is empty", f"at least one line: {FORM}", "Write what is to be scored.")
    return items


def _item(line: str, number: int, path: Path) -> Item:
    def refuse(fault: str) -> UsageError:
        return UsageError(f"{path} line {number}: {fault}", FORM, "Correct the line.")

    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise refuse(f"not JSON ({error})") from error
    if not isinstance(entry, dict) or entry.keys() - {"id"} not in KINDS:
        raise refuse(f"the keys {sorted(entry)}" if isinstance(entry, dict) else "no object")
    texts = {key: entry[key] for key in entry.keys() - {"id"}}
    if wrong := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise refuse(f"{wrong[0]} is no text")
    try:
        "".join(texts.values()).encode()
    except UnicodeEncodeError as error:
        raise refuse("half of a surrogate pair, which is no character") from error
    if not (scored := texts.get("text", texts.get("continuation", ""))):
        raise refuse("an empty text, which has no likelihood")
    return Item(entry.get("id", number), texts.get("prompt"), scored)


def spans(items: list[Item], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Span]:
    """Every item in tokens; the model sees at most max_length of them at once. Raises UsageError."""
    prefix = _prefix(tokenizer)
    divided: list[Span] = []
    for index, item in enumerate(items):
        if item.prompt is None:
            tokens = _encode(tokenizer, item.scored)
            divided += [Span(index, context, scored) for context, scored in windows(tokens, prefix, max_length)]
        else:
            divided.append(_continuation(index, item, tokenizer, prefix, max_length))
    return divided


def windows(tokens: tuple[int, ...], prefix: int, max_length: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Contexts and the tokens scored after them: every token once, each window but the last one full.

    The last window looks back as far as the model sees, so that its tokens have the longest context there is.
    """
    before = (prefix, *tokens)
    for begin in range(0, len(tokens), max_length):
        scored = tokens[begin : begin + max_length]
        end = begin + len(scored)
        yield before[max(0, end - max_length) : begin + 1], scored


def _continuation(index: int, item: Item, tokenizer: PreTrainedTokenizerBase, prefix: int, max_length: int) -> Span:
    prompt, continuation = item.prompt or "", item.scored
    # A tokenizer puts a blank before a word: it belongs to what follows.
    stripped = prompt.rstrip()
    prompt, continuation = stripped, prompt[len(stripped) :] + continuation
    whole = _encode(tokenizer, prompt + continuation)
    before = _encode(tokenizer, prompt) if prompt else ()
    scored = whole[len(before) :]
    if not 0 < len(scored) <= max_length:
        raise UsageError(
            f"item {item.id!r} has a continuation of {len(scored)} tokens",
            f"1 to {max_length}, what the model sees at once",
            "Shorten it, or score it as a text.",
        )
    context = before or (prefix,)
    return Span(index, context[-(max_length + 1 - len(scored)) :], scored)


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def _prefix(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token before a text's first one: the beginning-of-text token, else the end-of-text token."""
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if token is None:
        raise UsageError("a tokenizer without bos and eos token", "one of them", "Correct tokenizer_config.json.")
    return int(token)
