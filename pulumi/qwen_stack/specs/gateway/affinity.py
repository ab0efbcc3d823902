"""Affinity of a conversation to the replica that has its prefix in memory."""

from __future__ import annotations

from qwen_stack.settings.stack import GatewayAffinity
from qwen_stack.specs.gateway.envoy import Part

# Header whose hash chooses the replica. It goes to the engine too, since Envoy reads it again for each attempt.
HEADER = "x-qwen-session"
# Headers by which agents, their libraries and other gateways name a session, the most explicit first.
CLIENT_HEADERS = ("x-session-affinity", "x-session-id", "session-id", "session_id", "x-claude-code-session-id")


def constants() -> dict[str, object]:
    """Values for session.lua.j2. Sizes are bytes."""
    return {
        "header": HEADER,
        "client_headers": CLIENT_HEADERS,
        "edge_bytes": 1024,
        "prompt_bytes": 2048,
    }


def balancing(affinity: GatewayAffinity) -> Part:
    """Field of a cluster that says how the replica of a request is chosen.

    Maglev's table of 65,537 places follows from the replicas' addresses, so that all gateways have the same. When one
    of four replicas leaves, 0.03 % of the conversations of the others move, and 0.24 % when one of eight does. With
    Envoy's ring 8 to 12 % would, because a replica's places on it change with the number of replicas.
    """
    return {"lb_policy": "MAGLEV" if affinity.enabled else "LEAST_REQUEST"}


def bound(affinity: GatewayAffinity) -> Part:
    """Part of a cluster's common balancing: requests that a replica may have in flight, in percent of the mean."""
    if not affinity.enabled:
        return {}
    return {"consistent_hashing_lb_config": {"hash_balance_factor": affinity.load_percent}}


def hash_policy() -> Part:
    """Field of a route that says what is hashed. A request without the header goes to any replica."""
    return {"hash_policy": [{"header": {"header_name": HEADER}}]}
