"""Every SQL file says what it asks, reads, writes and needs, and its statement agrees; some Python file loads it."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import sql
from pipeline.explore import queries

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = sorted({path.parent.name for path in (ROOT / "sql").glob("*/*.sql")})
NAMES = [name for folder in FOLDERS for name in sql.names(folder)]
FIELDS = ("Question", "Reads", "Writes", "Grain", "Parameters", "Units")
VIEWS = "explore/views"  # makes every view of the folder, of files that it finds by their names
BUILT_IN = {"json_each", "range", "read_parquet", "parquet_file_metadata"}
NAME = r"([a-z_][\w.]*)"
CREATE = rf"CREATE (?:OR REPLACE )?(?:TEMP )?(?:TABLE|VIEW|MACRO) (?:IF NOT EXISTS )?{NAME}"


def header(name: str) -> dict[str, str]:
    return dict(queries.parse(name, sql.load(name)).sections)


def listed(field: str) -> list[str]:
    """Return the names of a field: separated by commas, each with a note in parentheses or none; [] for 'none'."""
    plain = field
    while "(" in plain:
        plain = re.sub(r" *\([^()]*\)", "", plain)
    return [] if plain == "none" else plain.split(", ")


def code(name: str) -> str:
    """Return a file's statements without comments."""
    return re.sub(r"--.*", "", sql.load(name))


def is_migration(name: str) -> bool:
    return re.search(r"/\d{4}_", name) is not None


def relations(name: str) -> tuple[set[str], set[str]]:
    """Return what a file reads and does not write itself, and what it writes."""
    text = re.sub(r"'[^']*'", "''", code(name))
    writes = set(
        re.findall(
            rf"(?:{CREATE}|INSERT (?:OR REPLACE )?INTO {NAME}|DELETE FROM {NAME}|UPDATE {NAME}\s+SET|"
            rf"ALTER TABLE {NAME})",
            text,
        )
    )
    written = {found for groups in writes for found in groups if found}
    given = set(re.findall(r"(\w+)(?: \([^()]*\))? AS (?:MATERIALIZED )?\(", text))
    read = set(re.findall(rf"(?:FROM|JOIN) {NAME}", text))
    return read - given - written - BUILT_IN, written


def macros(name: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each macro of a file."""
    for text in code(name).split(";"):
        if found := re.search(r"MACRO (\w+)", text):
            yield found[1], text


def variables(text: str, named: bool = True) -> set[str]:
    """Return the parameters that statements need, themselves or by a macro, in the form of the header."""
    found = set(re.findall(r"getvariable\('(\w+)'\)", text))
    bare = re.sub(r"'[^']*'", "''", text)
    if named:
        found |= set(re.findall(r"(?<![:\w])(:[a-z]\w*)", bare)) | set(re.findall(r"\$[a-z]\w*", bare))
        for macro, body in macros("batch/macros"):
            if re.search(rf"(?<!MACRO )\b{macro}\(", bare):
                found |= variables(body)
    return found - set(re.findall(r"SET VARIABLE (\w+)", bare))


@pytest.mark.parametrize("name", NAMES)
def test_the_header_has_its_fields(name: str) -> None:
    fields = header(name)
    makes_rows = re.search(r"CREATE OR REPLACE (TABLE|VIEW) \w+ AS", code(name)) and name != VIEWS
    assert tuple(fields) == (*FIELDS, "Columns") if makes_rows else FIELDS
    assert all(fields.values())
    assert "?" in fields["Question"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != VIEWS])
def test_the_header_names_what_is_read_and_written(name: str) -> None:
    fields = header(name)
    assert (set(listed(fields["Reads"])), set(listed(fields["Writes"]))) == relations(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_header_names_the_parameters(name: str) -> None:
    given = [re.sub(" = .*", "", text) for text in listed(header(name)["Parameters"])]
    if "?" in code(name):
        assert len(given) == code(name).count("?")
    elif name == VIEWS:
        assert given == ["data_dir"]
    else:
        session = (
            set(re.findall(r"SET VARIABLE (\w+)", code(VIEWS))) if name.startswith("explore/") else set()
        )
        assert set(given) == variables(code(name)) - session


@pytest.mark.parametrize("name", [name for name in NAMES if "Columns" in header(name)])
def test_the_header_names_the_columns(name: str) -> None:
    query = re.split(r"CREATE OR REPLACE (?:TABLE|VIEW) \w+ AS\n", code(name))[-1].strip().removesuffix(";")
    with duckdb.connect() as connection:
        tree = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()[0][0]
    node = json.loads(tree)["statements"][0]["node"]
    while "select_list" not in node:
        node = node["children"][0]
    columns = [item["alias"] or item.get("column_names", ["*"])[-1] for item in node["select_list"]]
    if columns != ["*"]:
        assert [text.split()[0] for text in listed(header(name)["Columns"])] == columns


def test_the_readme_has_every_folder() -> None:
    text = (ROOT / "sql/README.md").read_text()
    rows = re.findall(r"^\| `(\w+)/` \| [^|]+ \| [^|]+ \| (public|internal) \|$", text, re.MULTILINE)
    assert sorted(rows) == [(folder, "public" if folder == "explore" else "internal") for folder in FOLDERS]
    assert all((ROOT / path).exists() for path in re.findall(r"`((?:pipeline|serving|tests)/[\w./]+)`", text))


def test_every_internal_query_is_loaded() -> None:
    """By its name; by its folder and a text that Python names elsewhere; checks and migrations with their folder."""
    texts, patterns = set(), set()
    for path in (path for folder in ("pipeline", "serving", "sql") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                patterns.add(
                    "".join(
                        re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"(\w+)"
                        for part in node.values
                    )
                )
    for name in NAMES:
        if name.split("/")[0] not in {"explore", "checks"} and not is_migration(name):
            found = [
                re.fullmatch(pattern, name) for pattern in patterns if pattern.startswith(name.split("/")[0])
            ]
            assert name in texts or any(set(match.groups()) <= texts for match in found if match), name


def test_no_two_migrations_of_a_store_have_the_same_number() -> None:
    numbered = [name[: name.index("_")] for name in NAMES if is_migration(name)]
    assert len(numbered) == len(set(numbered)) > 15


def test_macros_of_one_name_are_one() -> None:
    """views.sql must run alone, so it repeats what the batch's macros.sql has."""
    batch, analysts = dict(macros("batch/macros")), dict(macros(VIEWS))
    common = batch.keys() & analysts.keys()
    assert common == {"tid_digit", "tid_text", "post_uri", "variant_number"}
    assert all(batch[name].split() == analysts[name].split() for name in common)


@pytest.mark.parametrize("store", ["landing", "serving", "activity", "removals"])
def test_migrations_are_numbered_from_1_without_a_number_twice(store: str) -> None:
    numbers = sorted(int(found[1]) for name in sql.names(store) if (found := re.search(r"/(\d{4})_", name)))
    assert numbers == list(range(1, len(numbers) + 1))


# What reads a row of likes or impressions for each of a span: seconds on a store with a hundred million likes.
SPANS = {"likes_between", "like_records_between", "outcomes_between", "first_impressions"}


@pytest.mark.parametrize("name", [name for name in sql.names("explore") if name != VIEWS])
def test_a_query_that_reads_a_span_says_what_to_narrow(name: str) -> None:
    fields = header(name)
    if not SPANS & set(listed(fields["Reads"])):
        return
    [span] = [
        part.split()[0] for part in listed(fields["Parameters"]) if part.startswith(("hours =", "days ="))
    ]
    assert re.search(rf"On a large\s+store, choose fewer\s+{span}", fields["Units"]), span
