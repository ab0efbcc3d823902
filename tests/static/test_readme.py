"""The README names only commands and files that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named, "the README says how to run it"
    assert named <= targets


def test_every_path_named_exists() -> None:
    named = set(re.findall(r"`((?:ansible|docs|images|inventory|lab|locks|pulumi|python|tests)/[\w./-]*)`", README))
    assert named, "the README names parts of the tree"
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_top_level_folder_is_in_the_tree_of_the_readme() -> None:
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))}
    assert {f for f in folders if f"{f}/" not in README} == set()


def test_qwen_runtime_commands_named_exist() -> None:
    cli = "".join(path.read_text() for path in (ROOT / "python/src/qwen_runtime/cli").glob("*.py"))
    words = {word for call in re.findall(r"qwen-runtime ([a-z]+(?: [a-z]+)?)`", README) for word in call.split()}
    assert {word for word in words if f'"{word}"' not in cli} == set()
