"""Certificates that tests give to a gateway, in PEM: each signs itself."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(private: ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption | None = None) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def certificate(
    of: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
    begin: datetime = NOW - DAY,
    end: datetime = NOW + DAY,
) -> bytes:
    """Certificate of a key for names and addresses of a server."""
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    made = x509.CertificateBuilder(who, who, of.public_key(), x509.random_serial_number(), begin, end)
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
    return made.sign(of, hashes.SHA256()).public_bytes(Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
