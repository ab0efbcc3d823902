"""`qwen-runtime chat`: talk to an endpoint from a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qwen_runtime.cli.common import Commands, Options, add, positive
from qwen_runtime.cli.endpoint import add_endpoint, api_key
from qwen_runtime.errors import Error, UsageError

if TYPE_CHECKING:
    from qwen_runtime.demo.client import Client, Message

FIELDS = ("max_tokens", "temperature")
HELP = "/new forgets the conversation, /quit or Ctrl-D ends it, Ctrl-C stops an answer"


def add_to(commands: Commands) -> None:
    chat = add(commands, "chat", run, "talk to an endpoint; with a question, ask it and end")
    chat.add_argument("question", nargs="?", help="default: a conversation")
    add_endpoint(chat)
    chat.add_argument("--system", metavar="TEXT", help="what the model is told before the conversation")
    chat.add_argument("--max-tokens", type=positive, metavar="N", help="length of an answer")
    chat.add_argument(
        "--temperature", type=float, metavar="T", help="0 takes the likeliest token; default: the model's"
    )


def run(options: Options) -> None:
    from qwen_runtime.demo.client import Client

    client = Client(options.endpoint, api_key(options.api_key_file))
    model = options.model or _first(client.list_models(), options.endpoint)
    fields = {name: getattr(options, name) for name in FIELDS if getattr(options, name) is not None}
    messages: list[Message] = [{"role": "system", "content": options.system}] if options.system else []
    if options.question:
        _answer(client, model, [*messages, {"role": "user", "content": options.question}], fields)
        return
    _converse(client, model, messages, fields)


def _converse(client: Client, model: str, beginning: list[Message], fields: Mapping[str, float]) -> None:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  gives input() line editing and recall where Python has it
    print(f"{model}: {HELP}")
    messages = list(beginning)
    while (question := _read()) is not None:
        if question == "/new":
            messages = list(beginning)
        elif question:
            conversation: list[Message] = [*messages, {"role": "user", "content": question}]
            try:
                answer = _answer(client, model, conversation, fields)
            except Error as error:
                # The conversation stays as it was before the question that failed.
                print(error, file=sys.stderr)
                continue
            messages = [*conversation, {"role": "assistant", "content": answer}]


def _read() -> str | None:
    """The next line; None at the end of the conversation."""
    try:
        line = input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        print()
        return None
    return None if line == "/quit" else line


def _answer(client: Client, model: str, messages: list[Message], fields: Mapping[str, float]) -> str:
    """Prints the answer as it arrives and returns it, or the part before Ctrl-C."""
    pieces: list[str] = []
    stream = client.stream_chat(model, messages, **fields)
    with contextlib.closing(stream), contextlib.suppress(KeyboardInterrupt):
        for piece in stream:
            pieces.append(piece)
            print(piece, end="", flush=True)
    print()
    return "".join(pieces)


def _first(models: list[str], endpoint: str) -> str:
    if not models:
        raise UsageError(f"{endpoint} serves no model", "a model to talk to", "Name one with --model.")
    return models[0]
