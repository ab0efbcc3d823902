"""The login with which the pods of the stack pull their images."""

from __future__ import annotations

import base64
import json

from qwen_stack.specs.manifest import Manifest, metadata

NAME = "registry-login"


def encoded(registry: str, user: str, password: str) -> str:
    """A login as Kubernetes keeps it."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    login = {"username": user, "password": password, "auth": auth}
    return base64.b64encode(json.dumps({"auths": {registry: login}}).encode()).decode()


def pull_secret(encoded_login: object) -> Manifest:
    """Secret that holds the login; `encoded_login` is its text, or what stands for it until it is known."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(NAME),
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": encoded_login},
    }


def pulling(spec: Manifest) -> Manifest:
    """The specification of a workload, whose pods pull with the login; any other one as it is."""
    if "template" not in spec:
        return spec
    template = spec["template"]
    return {**spec, "template": {**template, "spec": {**template["spec"], "imagePullSecrets": [{"name": NAME}]}}}
