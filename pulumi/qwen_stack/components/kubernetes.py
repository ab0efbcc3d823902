"""From a spec's manifest to the typed resource of its kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pulumi
from pulumi_kubernetes import apps, core, policy

from qwen_stack.specs.manifest import PART_OF, Manifest
from qwen_stack.specs.registry import pulling

KINDS: dict[str, Callable[..., pulumi.CustomResource]] = {
    "v1/ConfigMap": core.v1.ConfigMap,
    "v1/Namespace": core.v1.Namespace,
    "v1/Secret": core.v1.Secret,
    "v1/Service": core.v1.Service,
    "apps/v1/DaemonSet": apps.v1.DaemonSet,
    "apps/v1/Deployment": apps.v1.Deployment,
    "apps/v1/StatefulSet": apps.v1.StatefulSet,
    "policy/v1/PodDisruptionBudget": policy.v1.PodDisruptionBudget,
}


def create(
    manifest: Manifest,
    parent: pulumi.Resource,
    namespace: pulumi.Input[str] | None = None,
    depends_on: Sequence[pulumi.Resource] = (),
    timeout_s: int | None = None,
    replaced_by: Sequence[str] = (),
) -> pulumi.CustomResource:
    """The resource, named as its object is. `timeout_s` is how long its rollout may take; a change of what
    `replaced_by` names deletes the object and makes it anew."""
    resource = KINDS[f"{manifest['apiVersion']}/{manifest['kind']}"]
    metadata = dict(manifest["metadata"]) if namespace is None else {**manifest["metadata"], "namespace": namespace}
    body = {_snake(key): value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}
    timeouts = pulumi.CustomTimeouts(create=f"{timeout_s}s", update=f"{timeout_s}s") if timeout_s else None
    return resource(
        metadata["name"],
        metadata=metadata,
        **body,
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(depends_on),
            custom_timeouts=timeouts,
            replace_on_changes=list(replaced_by),
            delete_before_replace=True if replaced_by else None,
        ),
    )


def name_of(resource: Any) -> pulumi.Output[str]:
    """The object's name, known once the object exists, so that whoever uses it waits."""
    name: pulumi.Output[str] = resource.metadata["name"]
    return name


def namespace_of(resource: Any) -> pulumi.Output[str]:
    """The namespace in which an object lies, known once the object exists."""
    namespace: pulumi.Output[str] = resource.metadata["namespace"]
    return namespace


def label_everything(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """The stack's labels on every object of Kubernetes."""
    if not args.type_.startswith("kubernetes:"):
        return None
    props: dict[str, Any] = dict(args.props)
    metadata = props["metadata"]
    props["metadata"] = {**metadata, "labels": {**metadata.get("labels", {}), **PART_OF}}
    return pulumi.ResourceTransformationResult(props, args.opts)


def pull_with_login(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """The registry's login for every pod, whatever makes it."""
    spec: Any = args.props.get("spec")
    if not args.type_.startswith("kubernetes:") or not spec:
        return None
    return pulumi.ResourceTransformationResult({**args.props, "spec": pulling(spec)}, args.opts)


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z])[A-Z]", lambda found: f"_{found[0].lower()}", key)
