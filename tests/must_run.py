"""The flag --must-run: a target of which no test could run fails, and says what is missing.

Owns: pytest's hooks for it, which conftest.py takes. Leaves to others: skipping what can't run here.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag of the targets whose tests need something that a machine may lack."""
    parser.addoption("--must-run", action="store_true", help="fail when not a single test ran to its end")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a target of which nothing ran: skipped tests alone are no success."""
    if session.config.getoption("--must-run") and not _ran(session.config) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say that nothing ran, and what is missing."""
    if not config.getoption("--must-run") or _ran(config):
        return
    reports = terminalreporter.stats.get("skipped", [])
    reasons = {str(report.longrepr[-1]).removeprefix("Skipped: ") for report in reports}
    terminalreporter.section("NOTHING RAN", sep="=", red=True)
    for reason in sorted(reasons) or ["no test was found"]:
        terminalreporter.line(f"missing: {reason}")


def _ran(config: pytest.Config) -> bool:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return any(reporter.stats.get(outcome) for outcome in ("passed", "failed", "xfailed", "xpassed", "error"))


HOOKS = (pytest_addoption, pytest_sessionfinish, pytest_terminal_summary)
