"""Rules that the stack's objects keep. Every preview and every run judges them, and one error lists what breaks them.

They hold for whoever adds an object, whereas the configuration's own rules (rules/) hold for whoever sets a key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from qwen_stack.rules.problem import Problem
from qwen_stack.specs.manifest import Manifest, template_of

HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")


@dataclass(frozen=True, slots=True)
class Rendered:
    """The stack's objects by `<kind>/<name>`, as they go to the cluster, and its site's registry and signed digests.

    `signed` is None at a site that has no signed list.
    """

    objects: Mapping[str, Manifest]
    registry: str
    signed: Collection[str] | None = None

    def of_kind(self, kind: str) -> dict[str, Manifest]:
        return {name: body for name, body in self.objects.items() if name.startswith(f"{kind}/")}

    def templates(self) -> dict[str, Manifest]:
        """Templates of pods by the object that makes the pods."""
        found = {name: template_of(body.get("spec") or {}) for name, body in self.objects.items()}
        return {name: template for name, template in found.items() if template}

    def containers(self) -> Iterator[tuple[str, Manifest, Manifest]]:
        """Each container with the object that it belongs to and the specification of its pod."""
        for name, template in self.templates().items():
            pod = template["spec"]
            for container in [*pod.get("initContainers", []), *pod["containers"]]:
                yield f"{name} {container['name']}", container, pod


Rule = Callable[[Rendered], Iterator[Problem]]


def a_pod_shares_nothing_of_its_host(stack: Rendered) -> Iterator[Problem]:
    for name, template in stack.templates().items():
        pod = template["spec"]
        shared = [key for key in HOST_NAMESPACES if pod.get(key)]
        shared += [f"hostPath {volume['name']}" for volume in pod.get("volumes", []) if "hostPath" in volume]
        shared += [
            f"hostPort {port['hostPort']}"
            for container in pod["containers"]
            for port in container.get("ports", [])
            if "hostPort" in port
        ]
        if shared:
            yield Problem(
                (name,),
                ", ".join(shared),
                "nothing of the host",
                "mount a NodeFolder, and publish a port by a Service",
            )


def a_container_has_no_rights_to_give_away(stack: Rendered) -> Iterator[Problem]:
    for name, container, pod in stack.containers():
        own, of_pod = container.get("securityContext", {}), pod.get("securityContext", {})
        profile = own.get("seccompProfile", of_pod.get("seccompProfile", {}))
        missing = {
            "allowPrivilegeEscalation false": own.get("allowPrivilegeEscalation") is False,
            "no privileged": not own.get("privileged"),
            "readOnlyRootFilesystem true": own.get("readOnlyRootFilesystem") is True,
            "capabilities drop ALL and add none": own.get("capabilities") == {"drop": ["ALL"]},
            "seccompProfile RuntimeDefault": profile.get("type") == "RuntimeDefault",
        }
        if lacks := [what for what, kept in missing.items() if not kept]:
            yield Problem(
                (name,),
                f"a container without {', '.join(lacks)}",
                "each",
                "use container_security() and pod_security()",
            )


def an_image_is_the_sites_and_does_not_change(stack: Rendered) -> Iterator[Problem]:
    for name, container, _ in stack.containers():
        image = container["image"]
        tag = image.rsplit("/", 1)[-1].partition(":")[2]
        pinned = "@sha256:" in image or tag not in ("", "latest")
        if not image.startswith(f"{stack.registry}/") or not pinned:
            yield Problem(
                (name,),
                f"image {image}",
                f"one of {stack.registry}, by a digest or a fixed tag",
                "take it from settings.images, whose rules hold that",
            )


def an_image_is_on_the_signed_list(stack: Rendered) -> Iterator[Problem]:
    if stack.signed is None:
        return
    for name, container, _ in stack.containers():
        image = container["image"]
        if image.partition("@")[2] not in stack.signed:
            yield Problem(
                (name,),
                f"image {image}",
                "a digest of the list that signedImages names",
                "name it by its digest, or let `qwen-mirror vouch` sign a list that has it",
            )


def a_pod_holds_a_token_only_for_an_account_of_its_own(stack: Rendered) -> Iterator[Problem]:
    for name, template in stack.templates().items():
        pod = template["spec"]
        if pod.get("automountServiceAccountToken") is not False and not pod.get("serviceAccountName"):
            yield Problem(
                (name,),
                "a token of the namespace's default account",
                "none, or an account that is the pod's own and may do what it must",
                "add NO_CLUSTER_ACCESS to the pod",
            )


def a_container_says_what_it_takes(stack: Rendered) -> Iterator[Problem]:
    for name, container, _ in stack.containers():
        resources = container.get("resources", {})
        said = [f"requests {key}" for key in ("cpu", "memory") if key not in resources.get("requests", {})]
        said += ["limits memory"] if "memory" not in resources.get("limits", {}) else []
        if said:
            yield Problem(
                (name,), f"no {', no '.join(said)}", "each of them, so that a host is never overcommitted", "set them"
            )


def a_scratch_folder_has_a_size(stack: Rendered) -> Iterator[Problem]:
    for name, template in stack.templates().items():
        volumes = template["spec"].get("volumes", [])
        if unbounded := [v["name"] for v in volumes if "emptyDir" in v and "sizeLimit" not in v["emptyDir"]]:
            yield Problem(
                (name,),
                f"an emptyDir without a size: {', '.join(unbounded)}",
                "a sizeLimit, or one pod can fill its host's disk or memory",
                "set emptyDir.sizeLimit",
            )


def a_pod_has_a_priority(stack: Rendered) -> Iterator[Problem]:
    classes = {name.partition("/")[2] for name in stack.of_kind("PriorityClass")}
    for name, template in stack.templates().items():
        given = template["spec"].get("priorityClassName")
        if given not in classes:
            yield Problem(
                (name,), f"priority class {given}", f"one of {', '.join(sorted(classes))}", "see specs/priority.py"
            )


def a_container_that_listens_is_asked_whether_it_is_ready(stack: Rendered) -> Iterator[Problem]:
    for name, template in stack.templates().items():
        for container in template["spec"]["containers"]:
            if container.get("ports") and "readinessProbe" not in container:
                yield Problem(
                    (f"{name} {container['name']}",),
                    "ports and no readinessProbe",
                    "a probe, or traffic comes before it can answer",
                    "add probe(...)",
                )


def replicas_leave_one_at_a_time(stack: Rendered) -> Iterator[Problem]:
    selectors = [body["spec"]["selector"]["matchLabels"] for body in stack.of_kind("PodDisruptionBudget").values()]
    for name, template in stack.templates().items():
        if (stack.objects[name]["spec"].get("replicas") or 1) < 2:
            continue
        if not any(_selects(selector, template) for selector in selectors):
            yield Problem(
                (name,),
                "several replicas and no PodDisruptionBudget for them",
                "one, or draining hosts can end all of them at once",
                "create disruption_budget(name)",
            )


def a_pod_is_closed_but_for_what_is_named(stack: Rendered) -> Iterator[Problem]:
    policies = [body["spec"] for body in stack.of_kind("NetworkPolicy").values()]
    whole = [p for p in policies if not p["podSelector"] and set(p["policyTypes"]) == {"Ingress", "Egress"}]
    if not whole:
        yield Problem(("NetworkPolicy",), "none that closes every pod", "one", "see specs/network_policy.py")
    named = [policy["podSelector"]["matchLabels"] for policy in policies if policy["podSelector"]]
    for name, template in stack.templates().items():
        if not any(_selects(labels, template) for labels in named):
            yield Problem(
                (name,),
                "pods that no network policy names",
                "a line of the table for each connection, as they can reach nobody now",
                "add them to flows() in specs/network_policy.py",
            )


def a_service_leads_to_pods(stack: Rendered) -> Iterator[Problem]:
    for name, body in stack.of_kind("Service").items():
        selector = body["spec"].get("selector")
        # Kubernetes itself labels the pods of a StatefulSet with their number.
        wanted = {key: value for key, value in (selector or {}).items() if not key.startswith("apps.kubernetes.io/")}
        if selector and not any(_selects(wanted, template) for template in stack.templates().values()):
            yield Problem((name,), f"selector {selector}", "the labels of pods of this stack", "correct one of the two")


def ports_on_every_host_are_those_of_the_quota(stack: Rendered) -> Iterator[Problem]:
    types = [body["spec"].get("type") for body in stack.of_kind("Service").values()]
    opened = types.count("NodePort") + types.count("LoadBalancer")
    quotas = [body["spec"]["hard"] for body in stack.of_kind("ResourceQuota").values()]
    for allowed in [int(quota["services.nodeports"]) for quota in quotas if "services.nodeports" in quota]:
        if allowed != opened:
            yield Problem(
                ("ResourceQuota",),
                f"{allowed} node ports, and services that open {opened}",
                "the same number",
                "count the new port in specs/namespace.py",
            )


RULES: tuple[Rule, ...] = (
    a_pod_shares_nothing_of_its_host,
    a_container_has_no_rights_to_give_away,
    an_image_is_the_sites_and_does_not_change,
    an_image_is_on_the_signed_list,
    a_pod_holds_a_token_only_for_an_account_of_its_own,
    a_container_says_what_it_takes,
    a_scratch_folder_has_a_size,
    a_pod_has_a_priority,
    a_container_that_listens_is_asked_whether_it_is_ready,
    replicas_leave_one_at_a_time,
    a_pod_is_closed_but_for_what_is_named,
    a_service_leads_to_pods,
    ports_on_every_host_are_those_of_the_quota,
)


def problems(stack: Rendered) -> list[Problem]:
    return [problem for rule in RULES for problem in rule(stack)]


def _selects(labels: Mapping[str, str], template: Manifest) -> bool:
    carried: Mapping[str, str] = template["metadata"]["labels"]
    return labels.items() <= carried.items()
