"""Admission of pods: in the stack's namespace an image starts only by a digest of the site's signed list.

The API server judges by itself, with the list in the policy: nothing is asked outside. Only whoever may change objects
of the whole cluster can change the policy.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwen_stack.specs.manifest import Manifest, metadata

API = "admissionregistration.k8s.io/v1"
MEANING = "needed: a digest of the signed list; remedy: name it by its digest, or `qwen-mirror vouch` and `pulumi up`"
KINDS = ("containers", "initContainers", "ephemeralContainers")


def manifests(namespace: str, digests: Sequence[str]) -> list[Manifest]:
    """The policy and its binding to the namespace, whose name begins those of both."""
    name = f"{namespace}-signed-images"
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"]}
    # A map is searched at once; a list would be read through for each image.
    signed = "{" + ", ".join(f"'{digest}': true" for digest in digests) + "}"
    variables = {
        "signed": signed,
        "images": _images("object"),
        # A running pod whose image left the list can still be labelled and ended.
        "before": f"request.operation == 'UPDATE' ? {_images('oldObject')} : []",
        "refused": "variables.images.filter(i, !(i in variables.before) && "
        "!(i.contains('@') && i.split('@')[1] in variables.signed))",
    }
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{**pods, "resources": ["pods", "pods/ephemeralcontainers"]}]},
        "variables": [{"name": key, "expression": expression} for key, expression in variables.items()],
        "validations": [
            {
                "expression": "size(variables.refused) == 0",
                "messageExpression": f"'found: ' + variables.refused.join(', ') + '; {MEANING}'",
                "reason": "Forbidden",
            }
        ],
    }
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
    }
    return [
        {"apiVersion": API, "kind": "ValidatingAdmissionPolicy", "metadata": metadata(name), "spec": policy},
        {"apiVersion": API, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata(name), "spec": binding},
    ]


def _images(pod: str) -> str:
    """Images of all containers of a pod, as an expression."""
    lists = (f"(has({pod}.spec.{kind}) ? {pod}.spec.{kind}.map(c, c.image) : [])" for kind in KINDS)
    return "(" + " + ".join(lists) + ")"
