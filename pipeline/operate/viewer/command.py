"""``foryou viewer``: what is known about one viewer, and forgetting it.

Owns: the command's arguments, and what it prints. Leaves to others: gathering (``export``), deleting (``forget``), and
what belongs to the web app, whose functions the command line passes on.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.identifiers import is_did
from pipeline.settings import Settings

Lists = Callable[[Path, Sequence[str], str], Mapping[str, Any]]
ForgetInWebApp = Callable[[str, int], Mapping[str, int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the command its arguments."""
    parser.add_argument(
        "action",
        metavar="ACTION",
        choices=("export", "forget"),
        help="export: print what is known, as JSON; forget: delete it, but for what is public",
    )
    parser.add_argument("did", metavar="DID", help="whom it is about")


def run(
    settings: Settings, options: argparse.Namespace, lists: Lists, forget_in_web_app: ForgetInWebApp
) -> None:
    """Print what is known about a viewer, or delete it."""
    did = options.did
    if not is_did(did):
        raise PipelineError(
            f"{did!r} is no DID: expected one such as did:plc:abc234… (a handle's is on its profile)"
        )
    if options.action == "export":
        from pipeline.operate.viewer.export import export

        json.dump(export(settings, did, lists), sys.stdout, indent=1, ensure_ascii=False)
        print()
        return
    from pipeline.operate.viewer.forget import forget

    report = forget(settings.data_dir, did, forget_in_web_app, int(time.time() * 1e6), say=print)
    for line in report:
        print(line)
