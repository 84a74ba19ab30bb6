"""The rules of the house, read off the syntax trees: who imports whom, where SQL lives, what is named."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for folder in ("pipeline", "serving", "sql") for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Return the modules a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_follow_the_design(path: Path) -> None:
    package = top(module_of(path))
    packages = {top(module) for module in imports(path)}
    if package == "sql":
        assert packages <= sys.stdlib_module_names | {"sql"}
    if package == "serving":
        assert not packages & {"pipeline", "duckdb", "polars", "numpy", "pyarrow", "numba"}
    if package == "pipeline" and path.name not in {"cli.py", "commands.py"}:
        assert "serving" not in packages


COMMON = {"pipeline.backoff", "pipeline.errors", "pipeline.identifiers", "pipeline.notify"}
# Each row: what a folder may know of pipeline. Data flows one way: stream → store → batch → lists.
ALLOWED = {
    "pipeline.store": {"pipeline.store"} | COMMON,
    "pipeline.ingest": {
        "pipeline.ingest", "pipeline.store", "pipeline.settings", "pipeline.ranking",
    } | COMMON,
    "pipeline.batch": {
        "pipeline.batch", "pipeline.store", "pipeline.settings", "pipeline.feeds", "pipeline.ranking",
    } | COMMON,
    "pipeline.backfill": {
        "pipeline.backfill", "pipeline.store", "pipeline.ingest", "pipeline.batch.lake", "pipeline.settings",
        "pipeline.ranking",
    } | COMMON,
    "pipeline.simulate": {"pipeline.simulate", "pipeline.store.model"} | COMMON,
    "pipeline.backup": {"pipeline.backup", "pipeline.store", "pipeline.settings"} | COMMON,
    "pipeline.publish": {"pipeline.publish", "pipeline.outside", "pipeline.settings"} | COMMON,
    "pipeline.doctor": {
        "pipeline.doctor", "pipeline.outside", "pipeline.publish.repository", "pipeline.ingest",
        "pipeline.store", "pipeline.settings", "pipeline.ranking",
    } | COMMON,
    "pipeline.explore": {
        "pipeline.explore", "pipeline.store", "pipeline.batch", "pipeline.settings", "pipeline.feeds",
        "pipeline.ranking",
    } | COMMON,
    "pipeline.evaluate": {
        "pipeline.evaluate", "pipeline.batch", "pipeline.store", "pipeline.settings", "pipeline.ranking",
    } | COMMON,
    "pipeline.status": {"pipeline.status", "pipeline.store", "pipeline.settings", "pipeline.ranking"} | COMMON,
}  # fmt: skip


@pytest.mark.parametrize("path", [path for path in SOURCES if module_of(path).count(".") == 2], ids=module_of)
def test_folders_of_the_pipeline_know_what_lies_upstream(path: Path) -> None:
    folder = module_of(path).rpartition(".")[0]
    if folder not in ALLOWED:
        return
    ours = {module for module in imports(path) if top(module) == "pipeline" and module != "pipeline"}
    strangers = {
        module
        for module in ours
        if not any(module == known or module.startswith(known + ".") for known in ALLOWED[folder])
    }
    assert strangers == set()


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    docstring = ast.get_docstring(tree)
    assert docstring, "a module's docstring says what it owns"
    undocumented = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and node in getattr(tree, "body", [])
        and ast.get_docstring(node) is None
    ]
    assert undocumented == []


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", sorted((ROOT / "sql").rglob("*.sql")), ids=lambda path: path.stem)
def test_every_query_opens_with_its_header(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("-- ")
    header = "\n".join(line for line in text.splitlines() if line.startswith("--"))
    if not re.match(r"\d{4}_", path.name):
        assert "Question:" in header
        assert re.search(r"Reads:|Writes:|Parameters:", header)


def test_statements_of_several_lines_live_in_sql_files() -> None:
    """A string literal of two or more lines that starts like a statement belongs in sql/."""
    statement = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE)\s", re.IGNORECASE)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                lines = node.value.strip().count("\n")
                assert not (lines and statement.match(node.value)), f"{path}:{node.lineno}"


def test_no_registry_is_named() -> None:
    hosts = re.compile(r"(files\.pythonhosted|pypi)\.org|registry\.npmjs", re.IGNORECASE)
    texts = (
        [path for path in ROOT.glob("*") if path.is_file()] + SOURCES + sorted((ROOT / "tests").rglob("*.py"))
    )
    for path in texts:
        if path != Path(__file__):
            assert not hosts.search(path.read_text(errors="ignore")), path
