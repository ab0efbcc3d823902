"""A stand-in for an engine with a prefix cache: it waits as long as an engine would compute. Standard library only.

`python caching_engine.py ADDRESS PORT [--cached-tokens N] [--prefill-per-s N] [--token-ms MS]`
A token is four bytes of the conversation's texts. Blocks of 16 tokens are kept by the hash of all that comes before,
and the least recently used go first. One prompt is computed at a time, at `prefill-per-s` tokens for those that are not
kept; the answer's tokens then come every `token-ms`. Every GET is answered by vLLM's two counters.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections import OrderedDict

BLOCK_BYTES = 16 * 4
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
METRICS = 'vllm:prefix_cache_queries_total{engine="0"} %d\nvllm:prefix_cache_hits_total{engine="0"} %d\n'


class Engine:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.kept: OrderedDict[int, None] = OrderedDict()
        self.queries = self.hits = 0
        self.computing = asyncio.Lock()

    def missing(self, text: bytes) -> int:
        """Tokens of a prompt that are not kept. They are kept from now on."""
        blocks, chain = [], 0
        for start in range(0, len(text) - BLOCK_BYTES + 1, BLOCK_BYTES):
            chain = hash((chain, text[start : start + BLOCK_BYTES]))
            blocks.append(chain)
        known = next((n for n, block in enumerate(blocks) if block not in self.kept), len(blocks))
        for block in blocks:
            self.kept[block] = None
            self.kept.move_to_end(block)
        while len(self.kept) * 16 > self.options.cached_tokens:
            self.kept.popitem(last=False)
        tokens = len(text) // 4
        self.queries += tokens
        self.hits += known * 16
        return tokens - known * 16

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"POST"):
                found = LENGTH.search(head)
                await self._answer(json.loads(await reader.readexactly(int(found[1]) if found else 0)), writer)
            else:
                text = (METRICS % (self.queries, self.hits)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()

    async def _answer(self, body: dict[str, object], writer: asyncio.StreamWriter) -> None:
        messages, count = body["messages"], body["max_tokens"]
        assert isinstance(messages, list)
        assert isinstance(count, int)
        async with self.computing:
            text = "".join(message["content"] for message in messages).encode()
            await asyncio.sleep(self.missing(text) / self.options.prefill_per_s)
        writer.write(HEAD)
        for number in range(count):
            event = json.dumps({"choices": [{"delta": {"content": f"w{number % 10} "}}]})
            writer.write(f"data: {event}\n\n".encode())
            await writer.drain()
            await asyncio.sleep(self.options.token_ms / 1000)
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()


async def run(options: argparse.Namespace) -> None:
    engine = Engine(options)
    server = await asyncio.start_server(engine.serve, options.address, options.port, limit=1 << 24)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--cached-tokens", type=int, default=100_000)
    parser.add_argument("--prefill-per-s", type=float, default=50_000)
    parser.add_argument("--token-ms", type=float, default=5)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
