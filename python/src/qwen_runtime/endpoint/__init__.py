"""An OpenAI-compatible endpoint as a measurement sees it: what it says of itself, and one request with its times."""

VARIANT = "x-qwen-variant"
"""The header by which the gateway is asked for one of the entries that share a name, and by which it tells one."""
