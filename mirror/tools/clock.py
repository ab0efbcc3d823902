"""Dates that programs refuse: of a signature, of a certificate, of a list; mostly a clock is wrong."""

from __future__ import annotations

import re
from datetime import datetime, timezone

# The words of apt, curl, gpg, OpenSSL and skopeo.
REFUSED = re.compile(r"expired|EXPKEYSIG|not (yet )?(valid|activated)|in the future|unusable secret key", re.IGNORECASE)


def remedy(said: str, otherwise: str) -> str:
    """The remedy for what a program said: if it refused a date, this machine's clock comes first."""
    if not REFUSED.search(said):
        return otherwise
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"This machine's clock says {now}: if that is wrong, set it and run it again. Otherwise: {otherwise}"
