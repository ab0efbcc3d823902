"""Resources of pulumi from the manifests that specs/ builds, and what every one of them gets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pulumi
from pulumi_kubernetes import (
    admissionregistration,
    apiextensions,
    apps,
    batch,
    core,
    networking,
    policy,
    rbac,
    scheduling,
)

from qwen_stack.specs import priority
from qwen_stack.specs.manifest import PART_OF, Manifest
from qwen_stack.specs.registry import pulling

KINDS: dict[str, Callable[..., pulumi.CustomResource]] = {
    "v1/ConfigMap": core.v1.ConfigMap,
    "v1/LimitRange": core.v1.LimitRange,
    "v1/Namespace": core.v1.Namespace,
    "v1/PersistentVolume": core.v1.PersistentVolume,
    "v1/PersistentVolumeClaim": core.v1.PersistentVolumeClaim,
    "v1/ResourceQuota": core.v1.ResourceQuota,
    "v1/Secret": core.v1.Secret,
    "v1/Service": core.v1.Service,
    "v1/ServiceAccount": core.v1.ServiceAccount,
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy": admissionregistration.v1.ValidatingAdmissionPolicy,
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding": (
        admissionregistration.v1.ValidatingAdmissionPolicyBinding
    ),
    "apps/v1/DaemonSet": apps.v1.DaemonSet,
    "apps/v1/Deployment": apps.v1.Deployment,
    "apps/v1/StatefulSet": apps.v1.StatefulSet,
    "batch/v1/CronJob": batch.v1.CronJob,
    "keda.sh/v1alpha1/ScaledObject": partial(
        apiextensions.CustomResource, api_version="keda.sh/v1alpha1", kind="ScaledObject"
    ),
    "networking.k8s.io/v1/NetworkPolicy": networking.v1.NetworkPolicy,
    "policy/v1/PodDisruptionBudget": policy.v1.PodDisruptionBudget,
    "rbac.authorization.k8s.io/v1/ClusterRole": rbac.v1.ClusterRole,
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding": rbac.v1.ClusterRoleBinding,
    "rbac.authorization.k8s.io/v1/Role": rbac.v1.Role,
    "rbac.authorization.k8s.io/v1/RoleBinding": rbac.v1.RoleBinding,
    "scheduling.k8s.io/v1/PriorityClass": scheduling.v1.PriorityClass,
}


def create(
    manifest: Manifest,
    parent: pulumi.Resource,
    namespace: pulumi.Input[str] | None = None,
    depends_on: Sequence[pulumi.Resource] = (),
    timeout_s: int | None = None,
    replaced_by: Sequence[str] = (),
    begun_with: Sequence[str] = (),
) -> pulumi.CustomResource:
    """Resource with the name of its object. Its rollout may take `timeout_s`. A change of the keys in `replaced_by`
    deletes the object and creates it again. The keys in `begun_with` count for a new object alone."""
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


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z])[A-Z]", lambda capital: f"_{capital[0].lower()}", key)
