"""Take over what an interrupted `pulumi up` was creating: a filter from `stack export` to `stack import`.

    pulumi cancel --yes
    pulumi stack export | python -m qwen_stack.adopt | pulumi stack import
    pulumi refresh --yes

An interrupted run leaves objects in the cluster that the state knows only as pending, and the next run fails because
they exist. Namespace and name identify an object of Kubernetes, so this filter writes it into the state as created.
Refresh then drops what does not exist in the cluster and reads the rest.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def adopt(state: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The state without pending operations, and the names of the resources that were added to it."""
    deployment = {**state["deployment"]}
    pending = deployment.pop("pending_operations", None) or []
    known = {resource["urn"] for resource in deployment.get("resources", [])}
    adopted = [
        {**operation["resource"], "id": identity(operation["resource"]["inputs"]["metadata"])}
        for operation in pending
        if operation["type"] == "creating" and operation["resource"]["urn"] not in known
    ]
    deployment["resources"] = [*deployment.get("resources", []), *adopted]
    return {**state, "deployment": deployment}, [resource["id"] for resource in adopted]


def identity(metadata: dict[str, str]) -> str:
    """The provider's name for an object: `<namespace>/<name>`, or `<name>` for one that has no namespace."""
    return "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)


if __name__ == "__main__":
    state, adopted = adopt(json.load(sys.stdin))
    json.dump(state, sys.stdout)
    print(f"adopted: {', '.join(adopted) or 'nothing was pending'}", file=sys.stderr)
