"""The README in both languages: whole, equal, and with a picture that its program has drawn."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.picture import draw

ROOT = Path(__file__).parents[2]
ENGLISH = (ROOT / "README.md").read_text()
CHINESE = (ROOT / "README.zh-CN.md").read_text()
DRAWINGS = sorted((ROOT / "docs/picture").glob("*.svg"))

each_language = pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])


def commands(text: str) -> list[str]:
    """Lines of the code blocks, without comments."""
    return [re.split(r"\s+# ", line)[0] for line in re.findall(r"^ {4}(\S.*|  \S.*)$", text, re.MULTILINE)]


def tree(text: str) -> list[str]:
    """Names of the block that shows the tree."""
    return re.findall(r"^ {4}([\w.]+/?) {2,}\S", text, re.MULTILINE)


@each_language
def test_every_top_level_folder_is_in_the_tree(text: str) -> None:
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))}
    assert folders == {name.rstrip("/") for name in tree(text) if name.endswith("/")}


@each_language
def test_qwen_runtime_commands_named_exist(text: str) -> None:
    cli = "".join(path.read_text() for path in (ROOT / "python/src/qwen_runtime/cli").glob("*.py"))
    words = {word for call in re.findall(r"qwen-runtime ([a-z]+(?: [a-z]+)?)`", text) for word in call.split()}
    assert {word for word in words if f'"{word}"' not in cli} == set()


def test_the_chinese_readme_has_the_sections_of_the_english_one_in_its_order() -> None:
    """A section in Chinese is linked by the name that GitHub gives to the English heading."""
    english = [heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", ENGLISH, re.MULTILINE)]
    assert re.findall(r'^<a id="([^"]+)"></a>\n\n## ', CHINESE, re.MULTILINE) == english
    assert len(re.findall(r"^## ", CHINESE, re.MULTILINE)) == len(english)


def test_the_chinese_readme_gives_the_commands_of_the_english_one() -> None:
    names = tree(ENGLISH)
    assert names == tree(CHINESE)
    english, chinese = (
        [line for line in commands(text) if line.split()[0] not in names] for text in (ENGLISH, CHINESE)
    )
    assert english == chinese


def test_the_chinese_readme_names_the_links_and_code_of_the_english_one() -> None:
    links, code = r"\]\(([^)]+)\)", r"`([^`]+)`"
    for named in (links, code):
        english, chinese = (set(re.findall(named, text)) for text in (ENGLISH, CHINESE))
        assert english ^ chinese <= {"README.md", "README.zh-CN.md"}


def test_both_show_the_picture_for_light_and_dark_pages() -> None:
    for language, text in (("", ENGLISH), (".zh-CN", CHINESE)):
        for theme in ("light", "dark"):
            assert f'"docs/picture/overview-{theme}{language}.svg"' in text


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_is_what_the_program_draws_now(drawing: Path) -> None:
    """Its last line has digests of itself, of the program and of the library's lock: `make picture` draws anew."""
    text = drawing.read_text()
    svg = text.rpartition("\n<!-- ")[0]
    assert text == draw.sealed(svg), "run: make picture"
    ElementTree.fromstring(svg.encode())


def test_every_drawing_of_the_program_is_there_and_no_other() -> None:
    assert sorted(draw.path(language, theme) for language in draw.WORDS for theme in draw.THEMES) == DRAWINGS
