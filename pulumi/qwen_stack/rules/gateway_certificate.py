"""The gateway's certificate, judged as clients and Envoy will: its key, its time, and the names that clients use."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Settings

PAIR, AUTHORITY = "gateway.tlsSecret", "gateway.clientCaSecret"
CERTIFICATE_FILE, KEY_FILE, AUTHORITY_FILE = "tls.crt", "tls.key", "ca.crt"
NEW_PAIR = "put another pair into the Secret: docs/operate/certificates.md"
Secret = Mapping[str, bytes]


def problems_of_pair(settings: Settings, secret: Secret, now: datetime) -> Iterator[Problem]:
    """Problems of the Secret with the gateway's certificate, with keys as they stand in the stack's file.

    `secret`: contents by the names of their files, in PEM; the first certificate is the gateway's own.
    """
    certificates = _certificates(secret, CERTIFICATE_FILE)
    if not certificates:
        yield _unreadable(PAIR, settings.gateway.tls_secret, CERTIFICATE_FILE, NEW_PAIR)
        return
    own = certificates[0]
    public = _public_key(secret)
    if public is None:
        words = "a private key in PEM without a password"
        yield Problem((PAIR,), f"{KEY_FILE} of {settings.gateway.tls_secret}, which is none", words, NEW_PAIR)
    elif public != own.public_key():
        found = f"a certificate of {_name(own)} that is not of the key {KEY_FILE} beside it"
        yield Problem((PAIR,), found, "the certificate that was made for this key", NEW_PAIR)
    ended = list(_out_of_time(PAIR, certificates, now, NEW_PAIR))
    yield from ended
    if not ended:
        yield from _of_other_names(settings, own)


def problems_of_authority(settings: Settings, secret: Secret, now: datetime) -> Iterator[Problem]:
    """Problems of the Secret with the authority of the clients' certificates."""
    remedy = "put the authority's certificate into the Secret as ca.crt (pulumi/README.md)"
    certificates = _certificates(secret, AUTHORITY_FILE)
    if not certificates:
        yield _unreadable(AUTHORITY, settings.gateway.client_ca_secret, AUTHORITY_FILE, remedy)
    yield from _out_of_time(AUTHORITY, certificates, now, remedy)


def _certificates(secret: Secret, file: str) -> list[x509.Certificate]:
    """Certificates of a file; none where it is absent or holds something else."""
    try:
        return x509.load_pem_x509_certificates(secret.get(file, b""))
    except ValueError:
        return []


def _public_key(secret: Secret) -> PublicKeyTypes | None:
    """The public half of the Secret's private key; None where the file holds no key that can be read."""
    try:
        return load_pem_private_key(secret.get(KEY_FILE, b""), password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):  # a TypeError is a key with a password
        return None


def _out_of_time(key: str, certificates: list[x509.Certificate], now: datetime, remedy: str) -> Iterator[Problem]:
    for certificate in certificates:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begin <= now <= end:
            found = f"a certificate of {_name(certificate)} for {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
            yield Problem((key,), found, f"one that holds now, {now:%Y-%m-%d %H:%M} UTC", remedy)


def _of_other_names(settings: Settings, own: x509.Certificate) -> Iterator[Problem]:
    for key, name in _asked_names(settings):
        if not _holds_for(own, name):
            found = f"{name}, and a certificate for {', '.join(_names(own)) or 'no name'}"
            yield Problem((key, PAIR), found, "a certificate with this name, or clients refuse the gateway", NEW_PAIR)


def _asked_names(settings: Settings) -> Iterator[tuple[str, str]]:
    """Names and addresses of the gateway that clients use, with the keys that say so."""
    for position, name in enumerate(settings.gateway.host_names):
        yield f"gateway.hostNames[{position}]", name
    endpoint = settings.evaluation and settings.evaluation.endpoint
    if endpoint:
        yield "evaluation.endpoint", urlsplit(endpoint).hostname or ""


def _holds_for(own: x509.Certificate, name: str) -> bool:
    """Whether a client that trusts the certificate accepts it for this name, by the rules of the web (RFC 9525)."""
    # Who signed it is the client's affair, so the certificate itself is the one that is trusted here.
    present = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    rules = PolicyBuilder().store(Store([own]))
    rules = rules.extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=present)
    try:
        rules.build_server_verifier(_subject(name)).verify(own, [])
    except VerificationError:
        return False
    return True


def _subject(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(own: x509.Certificate) -> list[str]:
    """Names and addresses that a certificate is for."""
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(name.value) for name in names]


def _name(certificate: x509.Certificate) -> str:
    return ", ".join(_names(certificate)) or certificate.subject.rfc4514_string() or "no name"


def _unreadable(key: str, secret: str | None, file: str, remedy: str) -> Problem:
    return Problem((key,), f"{file} of {secret}, which is none", "certificates in PEM", remedy)
