"""Resources of pulumi from the manifests that specs/ builds, and what every one of them gets."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata as packages
from typing import Any

import pulumi

from qwen_stack.specs import priority
from qwen_stack.specs.manifest import PART_OF, Manifest
from qwen_stack.specs.registry import pulling

# The SDK names the version of the provider. Its classes add nothing to a manifest, and their import is half of a start.
PROVIDER_VERSION = packages.version("pulumi_kubernetes")
SECRET_KEYS = ("data", "stringData")


class Object(pulumi.CustomResource):
    """Object of Kubernetes as its manifest describes it."""

    metadata: pulumi.Output[Any]

    def __init__(self, manifest: Manifest, opts: pulumi.ResourceOptions) -> None:
        is_secret = manifest["kind"] == "Secret"
        own = pulumi.ResourceOptions(
            version=PROVIDER_VERSION, additional_secret_outputs=list(SECRET_KEYS) if is_secret else None
        )
        body = {
            key: pulumi.Output.secret(value) if is_secret and key in SECRET_KEYS else value
            for key, value in manifest.items()
        }
        super().__init__(type_of(manifest), manifest["metadata"]["name"], body, pulumi.ResourceOptions.merge(own, opts))


def type_of(manifest: Manifest) -> str:
    """Pulumi's type of an object; its own name for the group without a name is `core`."""
    group = "core/v1" if manifest["apiVersion"] == "v1" else manifest["apiVersion"]
    return f"kubernetes:{group}:{manifest['kind']}"


def create(
    manifest: Manifest,
    parent: pulumi.Resource,
    namespace: pulumi.Input[str] | None = None,
    depends_on: Sequence[pulumi.Resource] = (),
    timeout_s: int | None = None,
    replaced_by: Sequence[str] = (),
    begun_with: Sequence[str] = (),
) -> Object:
    """Resource with the name of its object. Its rollout may take `timeout_s`. A change of the keys in `replaced_by`
    deletes the object and creates it again. The keys in `begun_with` count for a new object alone."""
    metadata = dict(manifest["metadata"]) if namespace is None else {**manifest["metadata"], "namespace": namespace}
    timeouts = pulumi.CustomTimeouts(create=f"{timeout_s}s", update=f"{timeout_s}s") if timeout_s else None
    return Object(
        {**manifest, "metadata": metadata},
        pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(depends_on),
            custom_timeouts=timeouts,
            replace_on_changes=list(replaced_by),
            ignore_changes=list(begun_with),
            delete_before_replace=True if replaced_by else None,
        ),
    )


def name_of(resource: Any) -> pulumi.Output[str]:
    """Name of the object. It is known once the object exists, so what uses it waits for that."""
    name: pulumi.Output[str] = resource.metadata["name"]
    return name


def namespace_of(resource: Any) -> pulumi.Output[str]:
    """Namespace of the object, known once the object exists."""
    namespace: pulumi.Output[str] = resource.metadata["namespace"]
    return namespace


def label_everything(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Adds the stack's labels to every object of Kubernetes."""
    if not args.type_.startswith("kubernetes:"):
        return None
    props: dict[str, Any] = dict(args.props)
    metadata = props["metadata"]
    props["metadata"] = {**metadata, "labels": {**metadata.get("labels", {}), **PART_OF}}
    return pulumi.ResourceTransformationResult(props, args.opts)


def pull_with_login(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Gives every pod the registry's login, in whatever kind of object it is described."""
    spec: Any = args.props.get("spec")
    if not args.type_.startswith("kubernetes:") or not spec:
        return None
    return pulumi.ResourceTransformationResult({**args.props, "spec": pulling(spec)}, args.opts)


def prioritise(namespace: str) -> pulumi.ResourceTransformation:
    """Gives every pod the priority of its part, in whatever kind of object it is described."""

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        spec: Any = args.props.get("spec")
        if not args.type_.startswith("kubernetes:") or not spec:
            return None
        return pulumi.ResourceTransformationResult(
            {**args.props, "spec": priority.prioritised(spec, namespace)}, args.opts
        )

    return transform
