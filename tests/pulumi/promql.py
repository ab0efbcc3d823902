"""Series that an expression of Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser


def selectors(expression: str) -> Iterator[promql_parser.VectorSelector]:
    """Every selector of series in an expression; raises ValueError where it is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def collect(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)

    promql_parser.walk(promql_parser.parse(expression), collect)
    yield from found
