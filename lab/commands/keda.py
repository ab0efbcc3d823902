"""KEDA and Kubernetes' programs for tests of autoscaling, built once; no lab has to be up."""

from __future__ import annotations

from lab.tools import builder


def ensure() -> str | None:
    """Build what is not built yet; None when all is."""
    return ", ".join(filter(None, (builder.build(), builder.build_on_request()))) or None
