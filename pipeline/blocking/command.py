"""``foryou block`` and ``foryou allow``: change the operator's rules, and bring them into force at once.

Owns: the flags, and what is printed. Leaves to others: what was typed (``typed``), the file (``rule_file``), what
follows (``in_force``).
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial

from pipeline.blocking import followed_lists, in_force, rule_file
from pipeline.blocking.rules import TEXT_KINDS, Rule
from pipeline.blocking.typed import named
from pipeline.handles import did_of_handle
from pipeline.settings import Settings
from sql import places


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the command its flags."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="a DID, @HANDLE, a post's or list's at-uri or address in the app, domain:HOST, hashtag:TAG, word:WORD "
        "(default: list the rules)",
    )
    parser.add_argument("--remove", action="store_true", help="remove these rules instead of adding them")
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="fetch the members of followed lists that are older than an hour; foryou schedule does it by itself",
    )
    parser.add_argument("--note", metavar="TEXT", default="", help="why, for the reader of rules.txt")


def run(
    settings: Settings, action: str, what: Sequence[str], *, remove: bool, note: str, refresh: bool = False
) -> None:
    """Add or remove rules of an action, or list them; PipelineError when one is none."""
    data_dir = settings.data_dir
    if refresh:
        _refresh(settings)
    elif not what:
        rules = [rule for rule in rule_file.rules_of(data_dir) if rule.action == action]
        print(
            "\n".join(rule.as_line() for rule in rules)
            or f"nothing is {action}ed in {places.rules(data_dir)}"
        )
    else:
        _change(settings, action, what, remove=remove, note=note)


def _refresh(settings: Settings) -> None:
    """Fetch what is due of followed lists, and bring it into force."""
    rules = rule_file.rules_of(settings.data_dir)
    due = followed_lists.due(settings.data_dir, rules, time.time())
    if due:
        followed_lists.refresh(settings.data_dir, due, settings.appview_url)
    followed_lists.forget_others(settings.data_dir, rules)
    in_force.bring_into_force(settings.data_dir)


def _change(settings: Settings, action: str, what: Sequence[str], *, remove: bool, note: str) -> None:
    data_dir = settings.data_dir
    did_of = partial(did_of_handle, settings.appview_url)
    things = [named(action, text, did_of) for text in what]
    rules = [
        Rule(action, thing.kind, thing.value, " ".join(filter(None, (thing.note, note.replace("\n", " ")))))
        for thing in things
    ]
    changed = rule_file.remove(data_dir, rules) if remove else rule_file.add(data_dir, rules)
    in_force.bring_into_force(data_dir)
    if any(rule.kind == "list" for rule in changed):
        _refresh(settings)
    subjects = {rule.subject for rule in changed}
    for rule in rules:
        if rule.subject in subjects:
            print(f"removed: {rule.as_line()}" if remove else rule.as_line())
        else:
            print(f"{'no such rule' if remove else 'already there'}: {rule.as_line()}")
    if not remove and any(rule.kind in TEXT_KINDS for rule in changed):
        print("Rules about texts are for posts that come in from now on: texts are not stored.")
