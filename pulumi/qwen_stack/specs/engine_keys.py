"""The key between gateways and engines. Gateways hold it; engines hold digests of all that they accept.

Both Secrets keep their names, and their contents are read while the pods run: a change of keys starts nothing anew.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from qwen_stack.specs.gateway.envoy import TYPES, Part, http_filter, typed
from qwen_stack.specs.manifest import Manifest, metadata

ACCEPTED, SENT = "engine-keys", "gateway-engine-key"
ACCEPTED_DIR, SENT_DIR = "/etc/engine-keys", "/etc/gateway-engine-key"
ACCEPTED_FILE, SENT_FILE = "digests", "engine-key.json"
NAME = "engine-key"
SECRET = f"{TYPES}extensions.transport_sockets.tls.v3.Secret"


def digests(keys: Sequence[str]) -> str:
    """The file of the engines: the SHA-256 of each key, one a line."""
    return "".join(f"{hashlib.sha256(key.encode()).hexdigest()}\n" for key in keys)


def sent(keys: Sequence[str]) -> str:
    """The file of the gateways, as Envoy reads a secret: the value of a header with the first key."""
    secret = {"secret": {"inline_string": f"Bearer {keys[0]}"}}
    return json.dumps({"resources": [{"@type": SECRET, "name": NAME, "generic_secret": secret}]})


def accepted_secret(keys: Any) -> Manifest:
    """`keys` are the digests in base64: a string, or a pulumi Output of one."""
    return _secret(ACCEPTED, {ACCEPTED_FILE: keys})


def sent_secret(key: Any) -> Manifest:
    """`key` is the gateways' file in base64: a string, or a pulumi Output of one."""
    return _secret(SENT, {SENT_FILE: key})


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def volume() -> Manifest:
    """Volume of the pods of engines."""
    return {"name": ACCEPTED, "secret": {"secretName": ACCEPTED, "defaultMode": 0o440}}


def mount() -> Manifest:
    return {"name": ACCEPTED, "mountPath": ACCEPTED_DIR, "readOnly": True}


def injection(directory: str) -> Part:
    """The gateway's last step before it forwards: the engine's key takes the place of the client's."""
    watched = {"path": f"{directory}/{SENT_FILE}", "watched_directory": {"path": directory}}
    secret = {"name": NAME, "sds_config": {"path_config_source": watched, "resource_api_version": "V3"}}
    credential = typed(
        "envoy.http.injected_credentials.generic",
        "extensions.http.injected_credentials.generic.v3.Generic",
        credential=secret,
        header="authorization",
    )
    return http_filter(
        "envoy.filters.http.credential_injector",
        "credential_injector.v3.CredentialInjector",
        overwrite=True,
        credential=credential,
    )


def _secret(name: str, data: dict[str, Any]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(name), "type": "Opaque", "data": data}
