"""Entries that serve one name: who gets which share of its requests, and how a client asks for one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qwen_stack.specs.gateway.envoy import Part, answer, error, typed
from qwen_stack.specs.gateway.weights import LAYER, Group, cluster_of, shares

if TYPE_CHECKING:
    from qwen_stack.specs.gateway.routes import Upstream

# A request's header that asks for one entry, and an answer's that names the entry it came from.
HEADER = "x-qwen-variant"
OF_HOST = "%UPSTREAM_METADATA(gateway:variant)%"
# A repetition goes to another entry of the name: all of one may be broken, or it has a single replica.
OTHER_ENTRY = typed(
    "envoy.retry_priorities.previous_priorities",
    "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
    update_frequency=1,
)


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
    # Envoy demands weights here too, and takes those of the mounted file.
    weights = {
        "clusters": [{"name": cluster_of(share), "weight": 1} for share in shares(group)],
        "runtime_key_prefix": LAYER,
        "use_hash_policy": True,
    }
    shared = {"match": asked, "route": forward({"weighted_clusters": weights})}
    shared["route"]["retry_policy"]["retry_priority"] = OTHER_ENTRY
    tell = {"header": {"key": HEADER, "value": OF_HOST}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    told = [{**route, "response_headers_to_add": [tell]} for route in (*named, shared)]
    words = ", ".join(str(upstream.variant) for upstream in group)
    unknown = error(f"{group[0].served_as} has no such variant. It has {words}.", "invalid_request_error", "not_found")
    return [*told[:-1], answer(with_header(present_match=True), 400, unknown), told[-1]]


def clusters(upstreams: Group, budget: Part) -> list[Part]:
    """Clusters of the shares: an entry, and while no replica of it is ready, those that stand in for it.

    Envoy bounds repetitions there, and not at the entries.
    """
    return [
        {
            "name": cluster_of(share),
            "connect_timeout": "1s",
            "lb_policy": "CLUSTER_PROVIDED",
            "circuit_breakers": {"thresholds": [budget]},
            "cluster_type": typed(
                "envoy.clusters.aggregate",
                "extensions.clusters.aggregate.v3.ClusterConfig",
                clusters=[upstream.server for upstream in share],
            ),
        }
        for group in groups(upstreams)
        for share in shares(group)
        if len(share) > 1
    ]
