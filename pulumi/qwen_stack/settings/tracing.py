"""Shape of the key `tracing` of a stack's configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from qwen_stack.settings.section import Section

HttpAddress = Annotated[
    str,
    StringConstraints(pattern=r"^http://[a-z0-9]([-.a-z0-9]*[a-z0-9])?:[0-9]{1,5}$"),
    Field(examples=["http://otel:4318"]),
]


class Tracing(Section):
    """Spans of requests go to a collector of the site: one of the gateway and, with engine vllm, one of the engine."""

    endpoint: HttpAddress
    """Address of the site's collector of OpenTelemetry, for its protocol over HTTP; `/v1/traces` is added."""
    percent: float = Field(default=1, gt=0, le=100)
    """Share of the requests that are traced, of those whose client did not decide it by a traceparent of its own."""
