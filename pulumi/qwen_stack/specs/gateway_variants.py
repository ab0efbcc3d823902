"""Entries that serve one name: who gets which share of its requests, and how a client asks for one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qwen_stack.specs.envoy import Part, answer, error, typed

if TYPE_CHECKING:
    from qwen_stack.specs.gateway_routes import Upstream

# A request's header that asks for one entry, and an answer's that names the entry it came from.
HEADER = "x-qwen-variant"
# Prefix of the cluster that gets an entry's share: Envoy counts answers and repetitions there, and connections and
# requests in flight at the entry.
SHARE = "share-of-"
OF_HOST = "%UPSTREAM_METADATA(gateway:variant)%"
# A repetition goes to another entry of the name: all of one may be broken, or it has a single replica.
OTHER_ENTRY = typed(
    "envoy.retry_priorities.previous_priorities",
    "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
    update_frequency=1,
)
Group = Sequence["Upstream"]


def groups(upstreams: Group) -> list[list[Upstream]]:
    """The entries of each served name, in the order of the names' first entries."""
    names = dict.fromkeys(upstream.served_as for upstream in upstreams)
    return [[upstream for upstream in upstreams if upstream.served_as == name] for name in names]


def are_there(upstreams: Group) -> bool:
    return len(groups(upstreams)) < len(upstreams)


def metadata(upstream: Upstream) -> Part:
    """Field of an entry's endpoints, from which log and answers take its name."""
    return {"metadata": {"filter_metadata": {"gateway": {"variant": upstream.variant}}}} if upstream.variant else {}


def routes(group: Group, asked: Part, forward: Callable[[Part], Part]) -> list[Part]:
    """Routes of a name with several entries: to the one that a header names, else to one by the weights.

    The hash that keeps a conversation on one replica chooses the entry too, so that it stays there while the entry's
    weight does not shrink.
    """

    def with_header(**value: object) -> Part:
        return {**asked, "headers": [*asked.get("headers", ()), {"name": HEADER, **value}]}

    named = [
        {"match": with_header(string_match={"exact": upstream.variant}), "route": forward({"cluster": upstream.server})}
        for upstream in group
    ]
    weights = {"clusters": [{"name": _split(upstream), "weight": upstream.weight} for upstream in group]}
    shared = {"match": asked, "route": forward({"weighted_clusters": {**weights, "use_hash_policy": True}})}
    shared["route"]["retry_policy"]["retry_priority"] = OTHER_ENTRY
    tell = {"header": {"key": HEADER, "value": OF_HOST}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    told = [{**route, "response_headers_to_add": [tell]} for route in (*named, shared)]
    words = ", ".join(str(upstream.variant) for upstream in group)
    unknown = error(f"{group[0].served_as} has no such variant. It has {words}.", "invalid_request_error", "not_found")
    return [*told[:-1], answer(with_header(present_match=True), 400, unknown), told[-1]]


def clusters(upstreams: Group, budget: Part) -> list[Part]:
    """Clusters for the shares of a name: an entry, and while no replica of it is ready, the others with a weight.

    Envoy bounds repetitions there, and not at the entries.
    """
    return [
        {
            "name": _split(upstream),
            "connect_timeout": "1s",
            "lb_policy": "CLUSTER_PROVIDED",
            "circuit_breakers": {"thresholds": [budget]},
            "cluster_type": typed(
                "envoy.clusters.aggregate",
                "extensions.clusters.aggregate.v3.ClusterConfig",
                clusters=[upstream.server, *(other.server for other in _others(group, upstream))],
            ),
        }
        for group in groups(upstreams)
        if len(group) > 1
        for upstream in group
    ]


def _others(group: Group, upstream: Upstream) -> list[Upstream]:
    """The other entries that have a weight, the heaviest first."""
    weighted = [other for other in group if other.weight and other is not upstream]
    return sorted(weighted, key=lambda other: -other.weight)


def _split(upstream: Upstream) -> str:
    return SHARE + upstream.server
