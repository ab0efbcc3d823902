"""The mirror's apt repository, imported from signed bundles and signed by the lab as its site."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab import store
from lab.mirror import bundles, keys
from lab.mirror.bundles import Bundle
from mirror import bring

IMPORTING = sorted(Path(bring.__file__).parent.glob("*.py"))


def build(base_tar: Path) -> tuple[Path, bool]:
    """The folder that the mirror serves (apt/), with the repository's key.asc, and whether it had to be made."""
    carried = (bundles.debian(base_tar), bundles.stand_in(base_tar))
    made_from = store.key(*(bundle.made_from for bundle in carried), *IMPORTING, Path(__file__))
    return store.obtain("mirror/apt", made_from, lambda into: _import(into, carried))


def _import(into: Path, carried: Sequence[Bundle]) -> None:
    bundles.bring(carried, "apt", into)
    keys.export(bundles.KEY_USER, into / "key.asc")
    keys.end_agent()
