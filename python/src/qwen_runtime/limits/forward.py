"""The messages by which Envoy's log tells that requests ended: Fluentd's Forward protocol, which is MessagePack.

Envoy sends arrays `[tag, [[time, record], ...]]`, one after the other.
Format of the values: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

MOST_BYTES = 1_048_576
"""Longest message; Envoy's have a few hundred bytes for each request."""
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_TEXTS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_ARRAYS = {0xDC: ">H", 0xDD: ">I"}
_MAPS = {0xDE: ">H", 0xDF: ">I"}
_WORDS = {0xC0: None, 0xC2: False, 0xC3: True}


class Unreadable(ValueError):
    """Bytes that are no such message."""


class Messages:
    """Bytes of one connection, and the records in them."""

    def __init__(self) -> None:
        self._bytes = b""

    def feed(self, more: bytes) -> Iterator[dict[str, Any]]:
        """Records of the messages that are whole now. Raises Unreadable."""
        self._bytes += more
        while self._bytes:
            try:
                message, end = _value(self._bytes, 0)
            except (IndexError, struct.error):
                if len(self._bytes) > MOST_BYTES:
                    raise Unreadable(f"a message of more than {MOST_BYTES} bytes") from None
                return
            self._bytes = self._bytes[end:]
            yield from _records(message)


def _records(message: Any) -> Iterator[dict[str, Any]]:
    try:
        _, entries = message[:2]
        records = [record for _, record in entries]
    except (TypeError, ValueError):
        raise Unreadable("a message in another mode than Forward") from None
    yield from (record for record in records if isinstance(record, dict))


def _value(data: bytes, at: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where the next begins. Raises IndexError or struct.error for half a value."""
    kind = data[at]
    at += 1
    if kind < 0x80 or kind >= 0xE0:
        return kind - 256 * (kind >= 0xE0), at
    if kind < 0x90:
        return _map(data, at, kind & 0x0F)
    if kind < 0xA0:
        return _array(data, at, kind & 0x0F)
    if kind < 0xC0:
        return _text(data, at, kind & 0x1F)
    if kind in _WORDS:
        return _WORDS[kind], at
    if kind in _NUMBERS:
        return _number(data, at, _NUMBERS[kind])
    for sizes, read in ((_TEXTS, _text), (_ARRAYS, _array), (_MAPS, _map)):
        if kind in sizes:
            size, at = _number(data, at, sizes[kind])
            return read(data, at, size)
    raise Unreadable(f"a value of the kind 0x{kind:02x}")


def _number(data: bytes, at: int, layout: str) -> tuple[Any, int]:
    return struct.unpack_from(layout, data, at)[0], at + struct.calcsize(layout)


def _text(data: bytes, at: int, size: int) -> tuple[str, int]:
    if at + size > len(data):
        raise IndexError
    return data[at : at + size].decode(errors="replace"), at + size


def _array(data: bytes, at: int, size: int) -> tuple[list[Any], int]:
    values = []
    for _ in range(size):
        value, at = _value(data, at)
        values.append(value)
    return values, at


def _map(data: bytes, at: int, size: int) -> tuple[dict[Any, Any], int]:
    values, at = _array(data, at, 2 * size)
    return dict(zip(values[::2], values[1::2], strict=True)), at
