"""What viewers set for themselves, which is in force on their next page, or in their next list.

Owns: which settings there are, their bounds, and their rows in activity.sqlite. Leaves to others: the form
(``pages.me``), who somebody is (``sign_in``), what a setting does to a page (``remembered``, ``feed.paging``), and what
parameters of the ranking do to a list (the batch, which reads the rows).

Saving waits for the disk, and says so when that fails: a setting is in force everywhere once it is saved. Reading one
is a lookup by key for each page; a store that can't be read has no settings.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Set
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

import sql
from serving.budgets.limits import SETTINGS_KEPT
from serving.budgets.takers import taker_of
from serving.read_pool import ReadPool, StoreUnreadableError
from serving.viewers.journal import Journal, OwnWord, report
from sql import sqlite

HIDDEN_AUTHORS_MAX = 100
LANGUAGES_MAX = 20
SEEN = ("last", "hidden", "in place")  # where posts go that were shown or seen
BUSY_SECONDS = 2.0


class SettingsNotSavedError(Exception):
    """There is no room, or the disk does not write; the text says which."""


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """One viewer's settings; ``hidden_authors`` are DIDs, in the order in which they were given.

    With ``languages``, posts that state others alone are left out; with ``media``, those that have none of them.
    ``ranking`` has the parameters of the ranking that are their own (``pages.recipe.OWN_CHOICES``).
    """

    seen: str = "last"
    hidden_authors: tuple[str, ...] = ()
    is_paused: bool = False
    languages: tuple[str, ...] = ()
    media: int = 0  # as in sql/serving/0003_post_contents.sql
    ranking: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_choosy(self) -> bool:
        """Whether it depends on a post's content if it is shown."""
        return bool(self.languages or self.media)

    def wants(self, languages: Set[str], media: int) -> bool:
        """Tell whether a post with this content is shown."""
        fits = not self.languages or not languages or not languages.isdisjoint(self.languages)
        return fits and (not self.media or bool(media & self.media))

    @property
    def is_own(self) -> bool:
        """Whether something differs from what everybody has."""
        return self != USUAL


USUAL = OwnSettings()


class SettingsStore:
    """The settings of all viewers; may be used from any thread."""

    def __init__(
        self, path: Path, *, now: Callable[[], float] = time.time, journal: Journal | None = None
    ) -> None:
        self._path = path
        self._journal = journal
        self._pool = ReadPool(path, "activity", busy_seconds=0.2)
        self._now = now

    def of(self, viewer: str) -> OwnSettings:
        """Return a viewer's settings."""
        try:
            with self._pool.snapshot() as connection:
                if connection is None:
                    return USUAL
                query = "SELECT settings FROM viewer_settings WHERE viewer_did = ?"
                row = connection.execute(query, (viewer,)).fetchone()
        except StoreUnreadableError:
            return USUAL
        return USUAL if row is None else _settings_of(row[0])

    def save(self, viewer: str, settings: OwnSettings, *, known: bool) -> None:
        """Save a viewer's settings; raise SettingsNotSavedError."""
        kept = SETTINGS_KEPT.of(known)
        row = {
            "viewer_did": viewer,
            "taker": taker_of(viewer),
            "is_known": known,
            "is_paused": settings.is_paused,
            "settings": orjson.dumps(asdict(settings)).decode(),
            "changed_us": int(self._now() * 1e6),
            "class_rows": kept.total,
            "taker_rows": kept.domain,
        }
        try:
            with (
                closing(
                    sqlite.open_migrated(self._path, "activity", busy_seconds=BUSY_SECONDS)
                ) as connection,
                sqlite.transaction(connection),
            ):
                if settings.is_own:
                    saved = connection.execute(sql.load("activity/save_settings"), row).rowcount > 0
                else:
                    connection.execute("DELETE FROM viewer_settings WHERE viewer_did = ?", (viewer,))
                    saved = True
                if saved and self._journal is not None:
                    names = ("is_known", "is_paused", "settings")
                    said = {name: row[name] for name in names} if settings.is_own else {}
                    report(self._journal, OwnWord("settings", viewer, int(str(row["changed_us"])), said))
        except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
            raise SettingsNotSavedError("it can't be saved just now; try again") from error
        if not saved:
            raise SettingsNotSavedError(
                "there is no room for the settings of so many newcomers; try again tomorrow"
            )


def _settings_of(text: str) -> OwnSettings:
    try:
        found = orjson.loads(text)
        return OwnSettings(
            found["seen"],
            tuple(found["hidden_authors"]),
            found["is_paused"],
            tuple(found["languages"]),
            found["media"],
            dict(found.get("ranking") or {}),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return USUAL  # of another version
