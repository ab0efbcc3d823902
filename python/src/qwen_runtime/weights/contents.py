"""Checks the content of the files that serving needs beside the weights: JSON, a tokenizer, a chat template.

The standard library is enough. If jinja2 is installed, as in the runtime image, it compiles the templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

CONFIGURATION = "config.json"
GENERATION_CONFIG = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE_JSON = "chat_template.json"
TEMPLATE_KEY = "chat_template"
SENTENCEPIECE_FIRST = b"\x0a"
"""Tag of the first field, the pieces, of a SentencePiece model, which is a protocol buffer."""


def fault_in(path: Path) -> str | None:
    """Fault in the content of a file with a known name; None for a valid file, and for any other name."""
    check = _CHECKS.get(path.name)
    if check is None:
        return None
    try:
        check(path)
    except (ValueError, RecursionError, OSError) as error:
        return str(error) or type(error).__name__
    return None


def read_object(path: Path) -> dict[str, object]:
    """The JSON object in the file. Raises ValueError when it holds none."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON object ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"no JSON object but a {type(content).__name__}")
    return content


def has_template(path: Path) -> bool:
    """Whether a tokenizer_config.json brings a chat template."""
    try:
        return read_object(path).get(TEMPLATE_KEY) is not None
    except ValueError:
        return False


def _check_object(path: Path) -> None:
    """An object without keys is valid: publishers that state no defaults write `{}`."""
    read_object(path)


def _check_configuration(path: Path) -> None:
    if not read_object(path):
        raise ValueError("no JSON object with anything in it")


def _check_tokenizer(path: Path) -> None:
    """The `model` of a tokenizer.json and its vocabulary: a table, or a list of pieces and scores (Unigram)."""
    model = read_object(path).get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, (dict, list)) or not vocabulary:
        raise ValueError("a tokenizer without a vocabulary (model.vocab)")


def _check_vocabulary(path: Path) -> None:
    if not read_object(path):
        raise ValueError("a vocabulary without tokens")


def _check_merges(path: Path) -> None:
    if not path.read_text(encoding="utf-8").strip():
        raise ValueError("an empty list of merges")


def _check_sentencepiece(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(1) != SENTENCEPIECE_FIRST:
            raise ValueError("no SentencePiece model")


def _check_template_file(path: Path) -> None:
    _check_template(path.read_text(encoding="utf-8"))


def _check_template_json(path: Path) -> None:
    _check_templates(read_object(path).get(TEMPLATE_KEY))


def _check_tokenizer_config(path: Path) -> None:
    template = read_object(path).get(TEMPLATE_KEY)
    if template is not None:
        _check_templates(template)


def _check_templates(value: object) -> None:
    """The value is one template, or a list of templates with names."""
    templates = [value]
    if isinstance(value, list) and value:
        templates = [entry.get("template") if isinstance(entry, dict) else None for entry in value]
    for template in templates:
        if not isinstance(template, str):
            raise ValueError(f"a chat template that is no text but a {type(template).__name__}")
        _check_template(template)


def _check_template(text: str) -> None:
    if not text.strip():
        raise ValueError("an empty chat template")
    if not _compile(text):
        _check_blocks(text)


_INSIDE = r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^'"])*?"""  # quoted text may contain the end of a tag
_TAG = re.compile(
    r"\{#.*?#\}|\{\{" + _INSIDE + r"\}\}|\{%[-+]?\s*(?P<word>\w+)" + _INSIDE + r"%\}|(?P<open>\{[#{%])", re.DOTALL
)
_BLOCKS = ("if", "for", "macro", "call", "filter", "generation")
_ENDS = tuple(f"end{block}" for block in _BLOCKS)


def _check_blocks(text: str) -> None:
    """Every tag is closed and every block ends; a template that lost its end fails this, as with any compiler."""
    ends: list[str] = []
    for word in _tags(text):
        if word in _BLOCKS:
            ends.append(f"end{word}")
        elif word in _ENDS and (not ends or ends.pop() != word):
            raise ValueError(f"a chat template with {word} in the wrong place")
    if ends:
        raise ValueError(f"a chat template without its {ends[-1]}")


def _tags(text: str) -> Iterator[str]:
    raw = False
    for tag in _TAG.finditer(text):
        word = tag["word"] or ""
        raw = (raw or word == "raw") and word != "endraw"
        if raw:
            continue
        if tag["open"]:
            raise ValueError(f"a chat template with a {tag['open']} that is never closed")
        yield word
    if raw:
        raise ValueError("a chat template without its endraw")


def _compile(text: str) -> bool:
    """Compiles with the syntax that transformers allows: loop controls and its own tag `generation`.

    Returns False when jinja2 is not installed.
    """
    try:
        import jinja2
        from jinja2 import nodes, parser
        from jinja2.ext import Extension, loopcontrols
    except ImportError:
        return False

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: parser.Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    try:
        environment.compile(text)
    except (jinja2.TemplateError, SyntaxError, RecursionError) as error:  # the latter two where blocks are too deep
        raise ValueError(f"a chat template that jinja2 does not compile ({error})") from error
    return True


_CHECKS: dict[str, Callable[[Path], None]] = {
    CONFIGURATION: _check_configuration,
    GENERATION_CONFIG: _check_object,
    TOKENIZER_CONFIG: _check_tokenizer_config,
    "tokenizer.json": _check_tokenizer,
    "tokenizer.model": _check_sentencepiece,
    "vocab.json": _check_vocabulary,
    "merges.txt": _check_merges,
    "chat_template.jinja": _check_template_file,
    TEMPLATE_JSON: _check_template_json,
}
NAMES = frozenset(_CHECKS)
"""Names of files whose content is known."""
