"""The pages: what they say of settings, parameters, commands, files and each other is so."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from test_cli import COMMANDS

from pipeline.label_levels import DEFAULT_WORDS
from pipeline.ranking import Ranking
from pipeline.settings import option_help, option_names

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path for folder in (".", "docs", "tests/*", "pipeline/simulate") for path in ROOT.glob(f"{folder}/*.md")
)


def heading_anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_can_be_read_to_the_end() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_setting_has_a_row_with_its_default_and_meaning() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `FORYOU_(\w+)` \| (.+?) \| (.+) \|$", text, re.MULTILINE)
    assert [name.lower() for name, _, _ in rows] == list(option_names())
    for name, default, meaning in rows:
        described = option_help(name.lower())
        assert described.startswith(meaning)
        # Defaults too long for a table, or made of other settings, are described.
        assert default in described or name in {"STREAM_URL", "METRICS_LISTEN", "TRUSTED_PROXIES"}, name


def test_every_label_with_an_effect_has_a_row() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `([!a-z-]+)` \| \S.* \| `(\w+)` \|$", text, re.MULTILINE)
    assert {value: word for value, word in rows if word != "keep"} == DEFAULT_WORDS
    assert all(rows.count(row) == 1 for row in rows)


def test_every_parameter_of_the_ranking_has_a_row_with_its_default_and_range() -> None:
    text = (ROOT / "docs" / "ranking.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) to (\S+) \| \S", text, re.MULTILINE)
    expected = [
        (item.name, *(f"{value:g}" for value in (item.default, item.metadata["low"], item.metadata["high"])))
        for item in fields(Ranking)
    ]
    assert rows == expected


def test_every_command_is_described() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    for name in COMMANDS:
        assert f"`foryou {name}`" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in heading_anchors(path.read_text()), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    """A path in backticks that starts in a folder of the repository; {a,b} and * stand for several."""
    for name in re.findall(r"`((?:pipeline|serving|sql|tests|deploy|docs)/[^`\s]*)`", page.read_text()):
        found = re.fullmatch(r"(.*)\{(.*)\}(.*)", name)
        parts = [found[1] + part + found[3] for part in found[2].split(",")] if found else [name]
        for part in parts:
            if not re.search(r"NAME|…", part):
                assert list(ROOT.glob(part.rstrip("/"))), f"{page}: {part}"
