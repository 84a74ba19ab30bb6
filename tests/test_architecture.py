"""The rules of the house, read off the syntax trees: who imports whom, where SQL lives, what is named."""

import ast
import graphlib
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


MODULES = {module_of(path) for path in SOURCES}
FILES = {module_of(path) for path in SOURCES if path.name != "__init__.py"}


def top(module: str) -> str:
    return module.split(".")[0]


# The walls: a row a wing, and what its modules may know besides each other. A wing is a package or a module; the
# longest name that fits a module is its wing, however deep it lies. Data flows one way: stream, store, batch, lists.
BASE = {"pipeline.backoff", "pipeline.clock", "pipeline.errors", "pipeline.identifiers", "pipeline.notify"}
CONFIGURED = {"pipeline.settings", "pipeline.ranking", "pipeline.flag_values"} | BASE
BATCH = {
    "pipeline.store", "pipeline.batch.kernel", "pipeline.batch.list_sources", "pipeline.batch.engine",
    "pipeline.progress", "pipeline.feeds",
} | CONFIGURED  # fmt: skip
MAY_KNOW: dict[str, set[str]] = {
    "sql": set(),
    "pipeline": {"pipeline", "serving"},
    "pipeline.store": BASE,
    "pipeline.blocking": {"pipeline.store", "pipeline.handles", "pipeline.ask_appview"} | CONFIGURED,
    "pipeline.lake": {"pipeline.store", "pipeline.progress"} | CONFIGURED,
    "pipeline.ingest": {"pipeline.store", "pipeline.blocking", "pipeline.label_levels"} | CONFIGURED,
    "pipeline.backfill": {
        "pipeline.store", "pipeline.blocking", "pipeline.lake", "pipeline.ingest", "pipeline.progress",
        "pipeline.ask_appview",
    } | CONFIGURED,
    "pipeline.batch": {"pipeline.lake", "pipeline.blocking"} | BATCH,
    "pipeline.batch.kernel": set(),
    "pipeline.batch.engine": {"pipeline.progress"} | BASE,
    "pipeline.batch.engines": {"pipeline.batch.engine"} | CONFIGURED,
    "pipeline.batch.inputs": {"pipeline.lake"} | BATCH,
    "pipeline.batch.neighbours": {"pipeline.batch.inputs"} | BATCH,
    "pipeline.batch.forecast": {"pipeline.batch.inputs"} | BATCH,
    "pipeline.batch.lists": {"pipeline.batch.inputs", "pipeline.batch.engines.local"} | BATCH,
    "pipeline.batch.publish": BATCH,
    "pipeline.nodes": {"pipeline.store", "pipeline.run", "pipeline.batch.publish.prune"} | CONFIGURED,
    "pipeline.simulate": {"pipeline.errors", "pipeline.identifiers", "pipeline.notify"},
    "pipeline.run": {"pipeline.store", "pipeline.blocking"} | CONFIGURED,
    "pipeline.demo": {
        "pipeline.run", "pipeline.lake", "pipeline.store", "pipeline.simulate.world.names",
    } | CONFIGURED,
    "pipeline.operate.status": {
        "pipeline.store", "pipeline.progress", "pipeline.nodes.exchange_state",
    } | CONFIGURED,
    "pipeline.operate.backup": {"pipeline.store", "pipeline.lake.day_files"} | CONFIGURED,
    "pipeline.operate.viewer": {"pipeline.store", "pipeline.lake"} | CONFIGURED,
    "pipeline.operate.feed_record": {
        "pipeline.feeds", "pipeline.handles", "pipeline.setting_values",
    } | CONFIGURED,
    "pipeline.operate.doctor": {
        "pipeline.operate.feed_record", "pipeline.ingest", "pipeline.explore.box.landlock", "pipeline.lake.day_files",
        "pipeline.feeds", "pipeline.proxies", "pipeline.blocking", "pipeline.nodes.exchange_state",
    } | CONFIGURED,
    "pipeline.explore": {"pipeline.store", "pipeline.batch", "pipeline.feeds"} | CONFIGURED,
    "pipeline.evaluate": {
        "pipeline.batch.inputs", "pipeline.batch.kernel", "pipeline.batch.forecast", "pipeline.batch.neighbours",
        "pipeline.store",
    } | CONFIGURED,
    "serving": {"serving", "sql"},
    "serving.web_errors": set(),
    "serving.secret_files": set(),
    "serving.config": set(),
    "serving.log_form": set(),
    "serving.log_throttle": set(),
    "serving.read_pool": {"serving.log_throttle"},
    "serving.budgets": {"serving.read_pool"},
    "serving.http": {"serving.config", "serving.log_throttle", "serving.web_errors"},
    "serving.identity": {
        "serving.budgets", "serving.config", "serving.log_throttle", "serving.read_pool", "serving.web_errors",
    },
    "serving.lists": {"serving.read_pool"},
    "serving.viewers": {"serving.budgets", "serving.lists", "serving.read_pool", "serving.log_throttle"},
    "serving.feed": {
        "serving.budgets", "serving.viewers", "serving.lists", "serving.identity", "serving.http",
        "serving.config", "serving.read_pool", "serving.log_throttle", "serving.secret_files", "serving.web_errors",
    },
    "serving.sign_in": {
        "serving.identity", "serving.budgets", "serving.http", "serving.config", "serving.secret_files",
        "serving.web_errors",
    },
    "serving.pages": {
        "serving.sign_in", "serving.budgets", "serving.viewers", "serving.lists", "serving.identity", "serving.http",
        "serving.config", "serving.read_pool", "serving.web_errors",
    },
    "serving.process": {
        "serving.app", "serving.viewers", "serving.identity", "serving.http", "serving.config", "serving.web_errors",
        "serving.log_form",
    },
}  # fmt: skip
# What lies outside the house and a wing must not need.
TOO_HEAVY = {"serving": {"duckdb", "polars", "numpy", "pyarrow", "numba"}}
KNOW_THE_WEB_APP = {"pipeline.cli", "pipeline.commands"}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def wing_of(module: str) -> str:
    return max((wing for wing in MAY_KNOW if within(module, wing)), key=len)


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_every_wing_knows_what_lies_upstream(path: Path) -> None:
    module = module_of(path)
    wing = wing_of(module)
    strangers = {
        known
        for known in imports(path)
        if top(known) in {"pipeline", "serving"}
        and known in MODULES
        and not within(known, wing)
        and not any(within(known, package) for package in MAY_KNOW[wing])
    }
    assert strangers == set()
    if top(module) == "pipeline" and module not in KNOW_THE_WEB_APP:
        assert "serving" not in {top(known) for known in imports(path)}


@pytest.mark.parametrize(
    "package", ["duckdb", "polars", "atproto", "websockets", "apscheduler", "falcon", "waitress"]
)
def test_what_the_project_stands_on_does_real_work(package: str) -> None:
    assert any(package in {top(module) for module in imports(path)} for path in SOURCES)


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_nothing_heavy_where_it_must_be_light(path: Path) -> None:
    package = top(module_of(path))
    packages = {top(module) for module in imports(path)}
    assert not packages & TOO_HEAVY.get(package, set())
    if package == "sql":
        assert packages <= sys.stdlib_module_names | {"sql"}


def test_a_module_at_any_depth_has_a_wing() -> None:
    assert wing_of("pipeline.store.deeper.and_deeper") == "pipeline.store"
    assert wing_of("pipeline.storehouse") == "pipeline"


def test_no_file_needs_a_file_that_needs_it() -> None:
    """Imports within functions and for types count too."""
    needs = {module_of(path): {known for known in imports(path) if known in FILES} for path in SOURCES}
    sorter = graphlib.TopologicalSorter({m: known - {m} for m, known in needs.items() if m in FILES})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


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
def test_files_have_one_duty(path: Path) -> None:
    """A file has its natural length; one of more than this has a second duty."""
    assert len(path.read_text().splitlines()) <= 400


def test_statements_of_several_lines_live_in_sql_files() -> None:
    """A string literal of two or more lines that starts like a statement belongs in sql/."""
    statement = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE)\s", re.IGNORECASE)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                lines = node.value.strip().count("\n")
                assert not (lines and statement.match(node.value)), f"{path}:{node.lineno}"


def test_one_module_names_the_files_of_the_data_directory() -> None:
    """No other joins a path with one of these names, nor has such a name as a string of its own."""
    joined = {"lake", "explore", "log", "backfill", "tmp", ".tmp"}
    whole = re.compile(
        r"(landing|serving|activity|keys|removals)\.sqlite|cursor\.key|dashboard\.json|rules\.txt|\.\w+\.lock|tmp-\w*"
        r"|day=.*/.*|(likes|unlikes|impressions|neighbours|popular)[-*@]*\.parquet"
    )
    for path in SOURCES:
        if module_of(path) == "sql.places":
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                value = node.right.value if isinstance(node.right, ast.Constant) else ""
                found = value if value in joined or whole.fullmatch(str(value)) else ""
            else:
                value = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
                found = value if whole.fullmatch(value) else ""
            assert not found, f"{path}:{node.lineno}: {found} is for sql/places.py to name"


def test_what_processes_leave_behind_has_one_rule() -> None:
    """Temporary folders go when their process is killed, too, and every DuckDB has bounds and a place to spill to."""
    allowed = {
        "TemporaryDirectory": set(),
        "mkdtemp": {"sql.temporary_folders", "pipeline.lake.held"},  # within such a folder
        "duckdb.connect": {"pipeline.store.duck", "pipeline.explore.session"},
    }
    for path in SOURCES:
        called = [
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        ]
        for name, modules in allowed.items():
            found = any(text == name or text.endswith(f".{name}") for text in called)
            assert not found or module_of(path) in modules, f"{path}: {name}"


def test_no_registry_is_named() -> None:
    hosts = re.compile(r"(files\.pythonhosted|pypi)\.org|registry\.npmjs", re.IGNORECASE)
    texts = (
        [path for path in ROOT.glob("*") if path.is_file()] + SOURCES + sorted((ROOT / "tests").rglob("*.py"))
    )
    for path in texts:
        if path != Path(__file__):
            assert not hosts.search(path.read_text(errors="ignore")), path
