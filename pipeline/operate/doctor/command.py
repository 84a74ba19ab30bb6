"""``foryou doctor``: a line for every check, and the exit status.

Owns: showing the findings. Leaves to others: the checks.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from pipeline.errors import PipelineError
from pipeline.ingest.labels.label_writer import LabelerDirectory
from pipeline.operate.doctor import (
    exchange_checks,
    feed_checks,
    labeler_checks,
    machine_checks,
    network_checks,
)
from pipeline.operate.doctor.findings import Finding, findings
from pipeline.operate.feed_record.service_check import http_client
from pipeline.settings import APP_PASSWORD, Settings


class DoctorError(PipelineError):
    """Something is wrong with the installation; the findings above it say what."""


def run(
    load: Callable[[], Settings],
    environment: Mapping[str, str],
    labelers: Callable[[str], LabelerDirectory],
    *,
    as_json: bool,
) -> None:
    """Run and show all checks; DoctorError when one found something wrong.

    ``load`` returns the settings. When it refuses them, that is the only finding: nothing else can be checked.
    ``labelers`` finds labelers by their DIDs, given the address of the PLC directory.
    """
    found = []
    for finding in _findings(load, environment, labelers):
        found.append(finding)
        if not as_json:
            print(as_text(finding), flush=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=1))
    wrong = [finding.check for finding in found if finding.state == "wrong"]
    if wrong:
        raise DoctorError(f"{len(wrong)} of {len(found)} checks found something wrong: {', '.join(wrong)}")


def as_text(finding: Finding) -> str:
    """Return a finding as a person reads it."""
    line = f"{finding.state:<8}{finding.check:<16}{finding.seen}"
    return f"{line}\n{'':<24}-> {finding.advice}" if finding.advice else line


def _findings(
    load: Callable[[], Settings],
    environment: Mapping[str, str],
    labelers: Callable[[str], LabelerDirectory],
) -> Iterator[Finding]:
    try:
        settings = load()
    except PipelineError as error:
        yield Finding(
            "settings", "wrong", str(error), "correct it where it was set, or leave it out to get the default"
        )
        return
    yield from findings([*machine_checks.checks(settings), *exchange_checks.checks(settings)])
    with http_client() as client:
        of_feeds = feed_checks.checks(settings, environment.get(APP_PASSWORD, ""), client)
        of_labelers = labeler_checks.checks(settings, labelers(settings.plc_url))
        yield from findings([*network_checks.checks(settings, client), *of_labelers, *of_feeds])
