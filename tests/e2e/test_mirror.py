"""The mirror is as strict as a site's: it gives nothing without the authority and the login."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request

import pytest

from lab.hosts.network import MIRROR
from lab.mirror.client import REGISTRY_ADDRESS, authorization, trusted

FIRST = {"apt": f"https://{MIRROR}/apt/dists/bookworm/InRelease", "registry": f"https://{REGISTRY_ADDRESS}/v2/"}


def status(url: str, headers: dict[str, str], context: ssl.SSLContext) -> int:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10, context=context
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


@pytest.mark.parametrize("what", FIRST)
def test_no_system_trusts_it_of_itself(what: str) -> None:
    with pytest.raises(urllib.error.URLError) as caught:
        status(FIRST[what], authorization(), ssl.create_default_context())
    assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)


def test_the_registry_gives_nothing_without_a_login() -> None:
    assert status(FIRST["registry"], {}, trusted()) == 401
    assert status(FIRST["registry"], authorization(), trusted()) == 200


def test_nothing_is_to_be_had_without_tls() -> None:
    with pytest.raises(urllib.error.URLError) as caught:
        urllib.request.urlopen(f"http://{MIRROR}/apt/dists/bookworm/InRelease", timeout=10)
    assert isinstance(caught.value.reason, ConnectionRefusedError)
