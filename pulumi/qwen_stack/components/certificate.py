"""The Secrets with the gateway's certificates, which a site makes, read and judged before anything is registered."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone

import pulumi

from qwen_stack.components import kubectl
from qwen_stack.rules import gateway_certificate
from qwen_stack.rules.problem import Problem
from qwen_stack.settings.stack import Settings


def problems(settings: Settings, provider: Mapping[str, str]) -> Iterator[Problem]:
    """Everything that is wrong with them. One that is not there yet is a warning.

    `provider`: settings of pulumi's provider that choose a cluster.
    """
    now = datetime.now(timezone.utc)
    checks = {
        gateway_certificate.PAIR: (settings.gateway.tls_secret, gateway_certificate.problems_of_pair),
        gateway_certificate.AUTHORITY: (settings.gateway.client_ca_secret, gateway_certificate.problems_of_authority),
    }
    for key, (name, judged) in checks.items():
        if name is None:
            continue
        secret = kubectl.read(provider, f"/api/v1/namespaces/{settings.namespace}/secrets/{name}")
        if secret is None:
            pulumi.log.warn(f"{key}: no Secret {name} in {settings.namespace} yet, and the gateways wait for it")
            continue
        files = {file: base64.b64decode(text) for file, text in (secret.get("data") or {}).items()}
        yield from judged(settings, files, now)
