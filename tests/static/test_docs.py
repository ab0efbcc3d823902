"""The pages for people lead somewhere: links, indexes, and every path, test and command that they name."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
# The site that the reader makes.
OWN_SITE = "inventory/mysite"
# A part of the tree, with the function of a test where one is named.
NAMED_PATH = re.compile(
    r"((?:\.ci|ansible|controller|docs|images|inventory|lab|locks|mirror|molecule|pulumi|python|tests)/[\w./-]*)(?:::(\w+))?"
)
# After a backtick or at the beginning of a code block's line, since "make" is a word of English, too.
COMMAND = re.compile(r"(?:`|^    )make ([a-z-]+)(?: SCENARIO=(\w+-[\w-]+))?(?: BENCH=(\w+))?", re.MULTILINE)


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split() if (ROOT / name).is_file()]


PAGES = tracked("*.md")
DECISIONS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
# Decisions are history: they name the tree as it was.
LIVING = [page for page in PAGES if page not in DECISIONS]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    fenced = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^ {4}.*$", "", fenced, flags=re.MULTILINE)


def links(page: Path) -> Iterator[tuple[str, str]]:
    """File and heading of each link that stays in the tree."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)) + re.findall(
        r'(?:src|srcset)="([^"]+)"', page.read_text()
    ):
        if not target.startswith(("http://", "https://")):
            file, _, heading = target.partition("#")
            yield file, heading


def anchors(page: Path) -> set[str]:
    """Names under which a page's headings are linked: explicit ones, and those that GitHub makes."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', page.read_text()))


def named(page: Path) -> set[tuple[str, str]]:
    """Paths that stand between backticks, alone or in a command, each with a test's function or with nothing."""
    words = {word for code in re.findall(r"`([^`]+)`", prose(page)) for word in code.split()}
    matches = [match for word in words if (match := NAMED_PATH.fullmatch(word))]
    return {(match[1], match[2] or "") for match in matches if not match[1].startswith(OWN_SITE)}


def ends_of(path: str) -> list[str]:
    """A path, and what is left of it without its first folders: a page names a file as its readers look for it."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def listed(index: Path) -> list[Path]:
    """Files that an index links to, in its order."""
    return [(index.parent / file).resolve() for file, _ in links(index) if file]


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    broken = []
    for page in PAGES:
        for file, heading in links(page):
            target = (page.parent / file).resolve() if file else page
            if not target.exists() or (heading and heading not in anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {file}#{heading}")
    assert broken == []


def test_every_path_named_exists() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {path}" for page in LIVING for path, _ in named(page) if not (ROOT / path).exists()
    ]
    assert missing == []


def test_every_python_file_named_by_the_end_of_its_path_exists() -> None:
    ends = {part for path in tracked("*.py") for part in ends_of(path.relative_to(ROOT).as_posix())}
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in LIVING
        for name in re.findall(r"`([\w./-]+\.py)`", prose(page))
        if name not in ends
    ]
    assert missing == []


def test_every_test_named_is_a_function_of_its_file() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {path}::{function}"
        for page in LIVING
        for path, function in named(page)
        if function and (ROOT / path).is_file() and f"def {function}(" not in (ROOT / path).read_text()
    ]
    assert missing == []


def test_every_make_command_named_exists() -> None:
    missing = []
    for page in LIVING:
        for target, scenario, bench in COMMAND.findall(page.read_text()):
            exists = target in MAKE_TARGETS
            exists &= not scenario or (ROOT / "molecule" / scenario).is_dir()
            exists &= not bench or (ROOT / f"tests/bench/{bench}.py").is_file()
            if not exists:
                missing.append(f"{page.relative_to(ROOT)}: make {target} {scenario}{bench}")
    assert missing == []


def test_the_index_of_docs_lists_every_page() -> None:
    docs = ROOT / "docs"
    expected = {*docs.glob("*.md"), *docs.glob("operate/*.md"), docs / "adr/README.md"} - {docs / "README.md"}
    assert expected - set(listed(docs / "README.md")) == set()


def test_the_index_of_decisions_lists_each_once_under_its_number() -> None:
    index = ROOT / "docs/adr/README.md"
    assert sorted(listed(index)) == DECISIONS
    numbers = re.findall(r"^- \[(\d+)\]\((\d{4})-", index.read_text(), re.MULTILINE)
    assert [number for number, file in numbers if int(number) != int(file)] == []
    assert len(numbers) == len(DECISIONS)


def test_every_folder_of_tests_is_explained() -> None:
    folders = {
        path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
    }
    assert folders == set(re.findall(r"^\| `(\w+)/` \|", (ROOT / "tests/README.md").read_text(), re.MULTILINE))


def test_every_claim_has_a_proof() -> None:
    """Rows of evidence.md under a heading of their own column `Proof` name a test or a command."""
    table, unproven = False, []
    for line in (ROOT / "docs/evidence.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if "Proof" in cells:
            table, column = True, cells.index("Proof")
        elif not line.startswith("|"):
            table = False
        elif table and "---" not in line and not re.search(r"`(tests/|make )", cells[column]):
            unproven.append(cells[0])
    assert unproven == []
