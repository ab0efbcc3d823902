"""A certificate that clients or Envoy would refuse is refused by the program, with the key named."""

from __future__ import annotations

import base64
from datetime import datetime
from functools import partial
from typing import Any

import pulumi
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from qwen_stack import config
from qwen_stack.rules.problem import Problem
from tests.support import certificates
from tests.support.certificates import DAY, NOW, key, pem

from .recorded_stack import run_program

Values = dict[str, Any]
NAMES = ("llm.site.example", "*.agents.site.example", "10.20.0.5")
certificate = partial(certificates.certificate, names=NAMES)


def secret(**files: bytes) -> Any:
    """A Secret as the API answers it; `tls_crt` is the file tls.crt."""
    return {"data": {name.replace("_", "."): base64.b64encode(text).decode() for name, text in files.items()}}


@pytest.fixture
def secure(local: Values) -> Values:
    gateway = {**local["gateway"], "tlsSecret": "gateway-tls", "hostNames": ["llm.site.example", "10.20.0.5"]}
    return {**local, "gateway": gateway}


def refusals(values: Values, **secrets: Any) -> list[Problem]:
    with pytest.raises(config.ConfigError) as refused:
        run_program(values, secrets={name.replace("_", "-"): value for name, value in secrets.items()})
    return refused.value.problems


def test_a_pair_for_the_names_that_clients_use_is_accepted(secure: Values) -> None:
    own = key()
    chain = certificate(own) + certificate(key(), names=("authority.example",))
    assert run_program(secure, secrets={"gateway-tls": secret(tls_crt=chain, tls_key=pem(own))})


def test_a_certificate_of_another_key_is_refused_with_its_key_named(secure: Values) -> None:
    [problem] = refusals(secure, gateway_tls=secret(tls_crt=certificate(key()), tls_key=pem(key())))
    assert problem.keys == ("gateway.tlsSecret",)
    assert "a certificate of llm.site.example, *.agents.site.example, 10.20.0.5 that is not of the key" in problem.found
    assert "docs/operate/certificates.md" in problem.remedy


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("llm.site.example", True),
        ("a.agents.site.example", True),
        ("10.20.0.5", True),
        ("other.site.example", False),
        ("a.b.agents.site.example", False),
        ("agents.site.example", False),
        ("10.20.0.6", False),
    ],
)
def test_a_name_of_clients_must_be_in_the_certificate(secure: Values, name: str, fits: bool) -> None:
    own = key()
    pair = secret(tls_crt=certificate(own), tls_key=pem(own))
    secure["gateway"]["hostNames"] = ["llm.site.example", name]
    if fits:
        assert run_program(secure, secrets={"gateway-tls": pair})
        return
    [problem] = refusals(secure, gateway_tls=pair)
    assert problem.keys == ("gateway.hostNames[1]", "gateway.tlsSecret")
    assert problem.found == f"{name}, and a certificate for {', '.join(NAMES)}"


def test_a_certificate_without_names_is_for_nobody(secure: Values) -> None:
    own = key()
    problems = refusals(secure, gateway_tls=secret(tls_crt=certificate(own, names=()), tls_key=pem(own)))
    assert [problem.found for problem in problems] == [
        f"{name}, and a certificate for no name" for name in secure["gateway"]["hostNames"]
    ]


def test_the_address_of_the_measuring_pod_must_be_in_the_certificate_too(secure: Values) -> None:
    own = key()
    pair = secret(tls_crt=certificate(own), tls_key=pem(own))
    measured = {"key": "default", "hardware": "8 x h100-80gb", "endpoint": "https://gateway.qwen.svc:443"}
    limits = {"keys": {"default": {"class": "batch"}}}
    values = {**secure, "gateway": {**secure["gateway"], "limits": limits}, "evaluation": measured}
    [problem] = refusals(values, gateway_tls=pair)
    assert problem.keys == ("evaluation.endpoint", "gateway.tlsSecret")
    assert problem.found.startswith("gateway.qwen.svc, and a certificate for")


@pytest.mark.parametrize(("begin", "end"), [(NOW - 2 * DAY, NOW - DAY), (NOW + DAY, NOW + 2 * DAY)])
def test_a_certificate_that_does_not_hold_now_is_refused(secure: Values, begin: datetime, end: datetime) -> None:
    own = key()
    [problem] = refusals(secure, gateway_tls=secret(tls_crt=certificate(own, begin=begin, end=end), tls_key=pem(own)))
    assert problem.keys == ("gateway.tlsSecret",)
    assert f"for {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC" in problem.found


def test_an_intermediate_that_has_ended_is_refused(secure: Values) -> None:
    own = key()
    chain = certificate(own) + certificate(key(), names=("authority.example",), begin=NOW - 2 * DAY, end=NOW - DAY)
    [problem] = refusals(secure, gateway_tls=secret(tls_crt=chain, tls_key=pem(own)))
    assert problem.found.startswith("a certificate of authority.example for")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "tls.crt of gateway-tls, which is none"),
        ({"tls_crt": b"no certificate", "tls_key": pem(key())}, "tls.crt of gateway-tls, which is none"),
        ({"tls_crt": certificate(key())}, "tls.key of gateway-tls, which is none"),
        ({"tls_crt": certificate(key()), "tls_key": b"no key"}, "tls.key of gateway-tls, which is none"),
        (
            {"tls_crt": certificate(key()), "tls_key": pem(key(), BestAvailableEncryption(b"word"))},
            "tls.key of gateway-tls, which is none",
        ),
    ],
)
def test_files_that_envoy_cannot_read_are_refused(secure: Values, files: dict[str, bytes], found: str) -> None:
    [problem] = refusals(secure, gateway_tls=secret(**files))
    assert (problem.keys, problem.found) == (("gateway.tlsSecret",), found)


def test_no_message_shows_the_private_key(secure: Values) -> None:
    own = pem(key())
    words = str(refusals(secure, gateway_tls=secret(tls_crt=certificate(key(), end=NOW - DAY / 2), tls_key=own)))
    assert not any(line in words for line in own.decode().splitlines())


def test_a_secret_that_is_not_there_yet_is_told_and_waited_for(secure: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    assert run_program(secure)
    assert warned == ["gateway.tlsSecret: no Secret gateway-tls in qwen yet, and the gateways wait for it"]


def test_an_authority_of_clients_is_judged_too(secure: Values) -> None:
    secure["gateway"]["clientCaSecret"] = "clients"
    own = key()
    pair = secret(tls_crt=certificate(own), tls_key=pem(own))
    ended = secret(ca_crt=certificate(key(), names=("staff",), begin=NOW - 2 * DAY, end=NOW - DAY))
    assert run_program(secure, secrets={"gateway-tls": pair, "clients": secret(ca_crt=certificate(key()))})
    for authority in (secret(ca_crt=b""), ended):
        [problem] = refusals(secure, gateway_tls=pair, clients=authority)
        assert problem.keys == ("gateway.clientCaSecret",)
