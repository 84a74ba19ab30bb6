"""One word for one thing: the words that were given up, the glossary's terms, and names that must occur once."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("pipeline", "serving", "sql", "deploy", "docs")
KINDS = {".py", ".sql", ".md", ".html", ".css", ".yml", ".env", ".conf", ".service", ""}
# A word in any spelling (part_of_a_name, PartOfAName, plain), and what to say instead. CHANGELOG.md may have them.
DELETED = (
    "an unlike undoes a like; a record is deleted; an account is deleted or hidden; a tombstone records it"
)
INSTEAD = {
    "arm|arms": "variant",
    "exploring|explored|explores": "trial",
    "gone|depart|departs|departed|departure|departures|dead|undone|met|standing|live": DELETED,
    "asked(?! (?:about|for))": "wanted viewers, requested languages, answer weights, or what was requested",
    "heard": "crowd weight",
    "told": "reported",
    "attend|attends|attended": "mark waiting",
    "arrived|arriving|arrival|arrivals": "stored, or a name for what the rows are",
    "fold|folds|folded|folding": "merge (a lake day)",
    "judge|judges": "lines (of foryou status), or decide",
    "narrow|narrowed|narrows": "few viewers",
    "kept (?:lists?|connections?)": "readers' lists, idle connections",
}
# Where such a word means something else, and is the usual one.
ALLOWED = {
    ("live", "pipeline/simulate/"): "events that happen now, in a stream's own word: the live tail",
    ("live", "pipeline/ingest/"): "the same",
    ("narrow", "pipeline/run/timetable.py"): "a look at a short time",
    ("gone", "pipeline/simulate/server/http_pages.py"): "the name of HTTP status 410",
    ("explore", "sql/places.py"): "the folder of analysts' copies",
}
# The analysts' area alone: a folder, a module or a wing, never what the recommender does.
ANALYSTS = re.compile(r"(?<![\w./])explore(?![\w/.\"'`*])|explore_(?:share|max)", re.IGNORECASE)
# Names that say nothing of what they hold.
NAMES_GIVEN_UP = {"Made", "Done", "About", "Target", "Source", "Lineage", "Publication", "Answer", "Narrow"}
PAGES = [path for path in sorted(ROOT.glob("*.md")) if path.name != "CHANGELOG.md"]


def texts() -> list[Path]:
    found = {path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in KINDS}
    return sorted(path for path in {*found, *PAGES} if path.is_file() and "__pycache__" not in path.parts)


def plain(line: str) -> str:
    """Return a line in lower case, its names cut into words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", line).replace("_", " ").lower()


@pytest.mark.parametrize("words", INSTEAD, ids=lambda words: words.split("|")[0].split("(")[0])
def test_words_that_were_given_up(words: str) -> None:
    pattern = re.compile(rf"\b(?:{words})\b")
    found = []
    for path in texts():
        name = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text().splitlines(), 1):
            hit = pattern.search(plain(line))
            if hit and not any(hit[0] == word and name.startswith(place) for word, place in ALLOWED):
                found.append(f"{name}:{number}: {hit[0]!r}: say {INSTEAD[words]}")
    assert not found, "\n".join(found)


def test_the_analysts_area_alone_is_called_explore() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: 'explore' as the recommender's: say trial"
        for path in texts()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if ANALYSTS.search(line) and ("explore", str(path.relative_to(ROOT))) not in ALLOWED
    ]
    assert not found, "\n".join(found)


def test_a_class_has_a_name_of_its_own_that_says_what_it_holds() -> None:
    places = defaultdict(list)
    for folder in ("pipeline", "serving", "sql"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: found for name, found in places.items() if name in NAMES_GIVEN_UP or len(found) > 1} == {}


def words_of(text: str) -> str:
    """Return a text's words alone, one space between them."""
    return re.sub(r"\W+", " ", plain(text)).strip()


def glossary() -> list[str]:
    """Return the glossary's terms: its first column, and bold words in its second."""
    page = (ROOT / "ARCHITECTURE.md").read_text()
    section = page[page.index("## Glossary") : page.index("## Where the code differs")]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    terms = [
        term for first, second in rows for term in [*first.split(", "), *re.findall(r"\*\*(.+?)\*\*", second)]
    ]
    return [term for term in terms if term not in {"Word", "---"}]


def test_the_code_uses_every_term_of_the_glossary() -> None:
    code = [path for path in texts() if path.suffix in {".py", ".sql"}]
    text = words_of(" ".join(path.read_text() for path in code))
    terms = glossary()
    assert len(terms) > 100
    assert len(terms) == len(set(terms))
    unused = [term for term in terms if not re.search(rf"\b{words_of(term)}(s|es)?\b", text)]
    assert unused == []
