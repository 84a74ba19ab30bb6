"""Bringing the operator's rules into force: from the files to what pages and runs read.

Owns: which accounts and posts follow from the rules and the members of followed lists, and when the files are read
again. Leaves to others: the files (``rule_file``, ``followed_lists``), storing what follows (``store.operator_rules``),
rules about texts (``text_rules``).

Whoever changes the files, starts a run, or follows the stream calls ``bring_into_force``. It costs little while the
files are as before. A file that is wrong changes nothing: what was in force stays.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.blocking import followed_lists, rule_file
from pipeline.blocking.rules import BLOCK, Rule
from pipeline.errors import StoreError
from pipeline.identifiers import parse_post_uri
from pipeline.store.operator_rules import OperatorRules, RuledNames
from sql import places
from sql.sqlite import SchemaError


def bring_into_force(data_dir: Path) -> None:
    """Make removals.sqlite agree with the files.

    Nothing changes with RulesError, when the file of rules is wrong, and StoreError, when the store can't be written.
    """
    files = files_of(data_dir)
    if not files and not places.removals(data_dir).exists():
        return
    try:
        with closing(OperatorRules(data_dir)) as stored:
            if stored.files == files:
                stored.number_authors()
            else:
                stored.replace(files, names_of(data_dir, rule_file.rules_of(data_dir)))
    except (sqlite3.Error, SchemaError) as error:
        raise StoreError(f"can't write {places.removals(data_dir)}: {error}") from error


def files_of(data_dir: Path) -> str:
    """Return a text that differs whenever a file of rules or of members was written, '' while there is none."""
    seen = []
    for path in (places.rules(data_dir), *places.all_members(data_dir)):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        seen.append([path.name, found.st_ino, found.st_mtime_ns, found.st_size])
    return json.dumps(seen) if seen else ""


def names_of(data_dir: Path, rules: list[Rule]) -> RuledNames:
    """Return which accounts and posts rules block or allow. A rule about an account counts more than a list."""
    accounts: dict[str, bool] = {}
    posts: dict[tuple[str, int], bool] = {}
    for rule in rules:
        if rule.kind == "list":
            accounts |= dict.fromkeys(followed_lists.members_of(data_dir, rule.value), True)
    for rule in rules:
        blocked = rule.action == BLOCK
        if rule.kind == "account":
            accounts[rule.value] = blocked
        elif rule.kind == "post" and (post := parse_post_uri(rule.value)) is not None:
            posts[post] = blocked
    return RuledNames(accounts, posts)
