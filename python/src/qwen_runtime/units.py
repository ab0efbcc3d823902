"""Sizes as text for people. Bytes are whole numbers everywhere; only text is rounded."""

GIB = 2**30
TERA = 10**12
GIGA = 10**9


def gib(size_bytes: float) -> str:
    """Memory in GiB with one digit, as engines and nvidia-smi count it."""
    return f"{size_bytes / GIB:.1f} GiB"


def count(number: float) -> str:
    """A count of tokens or parameters, grouped for reading: 304,128."""
    return f"{number:,.0f}"
