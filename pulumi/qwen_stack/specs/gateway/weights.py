"""Weights of the entries that share a name. Gateways read them from a mounted file and take changes while they run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from qwen_stack.specs.gateway.envoy import TYPES, Part

if TYPE_CHECKING:
    from qwen_stack.specs.gateway.routes import Upstream

Group = Sequence["Upstream"]
# Name of the layer of runtime values, and prefix of the keys in it.
LAYER = "weights"
WEIGHTS_FILE, SERVERS_FILE = "weights.json", "servers"
RUNTIME = f"{TYPES}service.runtime.v3.Runtime"
# Prefix of a cluster that gets an entry's share. The servers of the entry and of those that stand in for it follow,
# with BETWEEN between them. Envoy counts answers and repetitions there, and connections and requests in flight at the
# entry.
SHARE = "share-of-"
BETWEEN = "/"


def shares(group: Group) -> list[list[Upstream]]:
    """Each entry of a name with those that may stand in for it, for every choice of them.

    Who stands in depends on the weights, and clusters cannot change without a risk for the streams on them: all of them
    exist, and the weights say which of them are used. Those of one entry lie side by side, so that a conversation moves
    only when its entry's weight shrinks.
    """
    return [
        [entry, *others]
        for entry in group
        for number in range(len(group))
        for others in combinations([other for other in group if other is not entry], number)
    ]


def cluster_of(share: Group) -> str:
    """Name of a share's cluster; an entry for which nobody stands in has one already."""
    first, *others = (upstream.server for upstream in share)
    return SHARE + BETWEEN.join([first, *others]) if others else first


def weights(group: Group) -> dict[str, int]:
    """Percent of the requests for each share's cluster. The other entries that have a weight stand in for an entry."""
    weighted = [upstream for upstream in group if upstream.weight]
    used = {cluster_of([entry, *(other for other in weighted if other is not entry)]): entry for entry in weighted}
    return {name: used[name].weight if name in used else 0 for name in map(cluster_of, shares(group))}


def files(groups: Sequence[Group]) -> dict[str, str]:
    """The files that change with the weights: Envoy's, and the servers that a new gateway waits for."""
    shared = [group for group in groups if len(group) > 1]
    values = {f"{LAYER}.{name}": percent for group in shared for name, percent in weights(group).items()}
    resource = {"@type": RUNTIME, "name": LAYER, "layer": values}
    servers = [upstream.server for group in groups for upstream in group if upstream.weight]
    return {
        WEIGHTS_FILE: json.dumps({"resources": [resource]}, indent=1) + "\n",
        SERVERS_FILE: "".join(f"{server}\n" for server in servers),
    }


def layers(directory: str) -> Part:
    """Field of Envoy's configuration that makes it read the weights before it listens, and again when they change."""
    watched = {"path": f"{directory}/{WEIGHTS_FILE}", "watched_directory": {"path": directory}}
    source = {"path_config_source": watched, "resource_api_version": "V3"}
    return {"layers": [{"name": LAYER, "rtds_layer": {"name": LAYER, "rtds_config": source}}]}
