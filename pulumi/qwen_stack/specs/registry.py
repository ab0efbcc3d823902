"""The login with which the pods of the stack pull their images."""

from __future__ import annotations

import base64
import json

from qwen_stack.specs.manifest import Manifest, metadata, with_pods

NAME = "registry-login"


def encoded(registry: str, user: str, password: str) -> str:
    """Login in Kubernetes' format."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    login = {"username": user, "password": password, "auth": auth}
    return base64.b64encode(json.dumps({"auths": {registry: login}}).encode()).decode()


def pull_secret(encoded_login: object) -> Manifest:
    """Secret with the login; `encoded_login` is its text, or a pulumi Output of it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(NAME),
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": encoded_login},
    }


def pulling(spec: Manifest) -> Manifest:
    """Specification of an object: pods in it pull with the login, one without pods stays as it is."""
    return with_pods(spec, imagePullSecrets=[{"name": NAME}])
