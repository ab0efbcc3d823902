"""Asks over HTTP from a host, with the Python that every host has."""

from __future__ import annotations

from testinfra.host import Host

# The certificate is not looked at: the question is who is let in.
ASK = """
import ssl, sys, urllib.error, urllib.request
context = ssl._create_unverified_context()
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10, context=context).status)
except urllib.error.HTTPError as refused:
    print(refused.code)
"""


def status(host: Host, url: str) -> int:
    """HTTP status of a GET without credentials, sent from the host."""
    return int(host.check_output("python3 -c %s %s", ASK, url))
