"""Shape of the key `evaluation` of a stack's configuration."""

from __future__ import annotations

from pydantic import Field

from qwen_stack.settings.section import DnsName, KeyName, ModelName, Origin, Section


class Evaluation(Section):
    """Measurements of the live endpoint that the cluster repeats by itself."""

    key: KeyName
    """Name in apiKeys with whose key it asks. With `gateway.limits` that key is of the class batch."""
    hardware: str = Field(min_length=1)
    """Words for what serves, such as `2 x 8 x h100-80gb`: results of other hardware begin a history of their own."""
    schedule: str = Field(default="0 3 1 * *", pattern=r"^(\S+ ){4}\S+$")
    """Times as cron writes them, in UTC."""
    model: ModelName | None = None
    """Served name that is measured; by default the first."""
    tool_tokens: int = Field(default=512, gt=0)
    """Longest answer to a question about tools, less for a slow model (`evaluate tools --max-tokens`)."""
    load: tuple[str, ...] = ("--load", "agent", "--users", "4", "--sessions", "100", "--own-delay-s", "0.05")
    """Arguments of `qwen-runtime bench` that say how much it asks, and how late it may be itself."""
    endpoint: Origin | None = None
    """Address of the gateway that its certificate names; needed with `gateway.tlsSecret`."""
    ca_secret: DnsName | None = None
    """Secret with the authority of that certificate as `ca.crt`."""
