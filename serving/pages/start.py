"""A start for readers without likes: they pick communities and posts, and get a list of their own.

Owns: the page and its form, and taking all picks back. Leaves to others: which communities there are (the batch), how
they are shown (``post.html``), the picks' rows (``viewers.picks``), what follows from them (``first_list``), and the
session (``sign_in``).

Picks are private: nobody but their reader sees them. A post that is neither in a community nor in a list is not taken.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import falcon

from serving.lists.list_store import ListSnapshot, ListStore
from serving.pages.appview import Described
from serving.pages.html import go, show_form
from serving.pages.me import ME, MeParts
from serving.pages.recipe import CHOICES
from serving.read_pool import StoreUnreadableError
from serving.viewers.known_to_us import take_back_picks
from serving.viewers.picks import PICKS_MAX, picks_of, save_picks
from serving.web_errors import UnavailableError
from sql import sqlite

START, TAKE_ALL_BACK = "/start", "/me/take-picks-back"
SHOWN = 20
LANGUAGES_READ = 5  # of those that a browser names
TAGS_SHOWN = 2
_HASHTAG = "/hashtag/"
NAMES = dict(next(choice for choice in CHOICES if choice.name == "language").options)


class Community(NamedTuple):
    """A handful of posts that the same people like; ``language`` is in words, '' where it is of all."""

    language: str
    posts: list[str]
    tags: list[str]


@dataclass(slots=True)
class StartPage:
    """GET and POST /start."""

    parts: MeParts
    store: ListStore

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the communities of the reader's languages; whoever is not signed in goes to the form for that."""
        session = self.parts.sessions.of(request)
        if session is None:
            raise falcon.HTTPSeeOther("/sign-in")
        self._show(request, response, session.did, session.proof, "")

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Save what was picked, and go to the page that shows it."""
        session, fields = self.parts.form(request)
        wanted = [uri for value in fields.get("community", []) for uri in value.split()]
        wanted = list(dict.fromkeys([*wanted, *fields.get("post", [])]))[:PICKS_MAX]
        try:
            with self.store.read() as snapshot:
                known = snapshot.known_posts(wanted) if snapshot and wanted else set()
        except StoreUnreadableError as error:
            raise UnavailableError("the posts can't be read just now") from error
        picked = [uri for uri in wanted if uri in known]
        if not picked:
            response.status = falcon.HTTP_400
            self._show(request, response, session.did, session.proof, "pick at least one")
            return
        parts = self.parts
        try:
            is_known = parts.classes.is_known(session.did)
            at_us = int(parts.now() * 1e6)
            save_picks(parts.config.activity_path, session.did, picked, self._feed, at_us, known=is_known)
        except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
            raise UnavailableError("it can't be saved just now: try again") from error
        go(response, f"{ME}#picked")

    @property
    def _feed(self) -> str:
        return self.parts.config.feed_rkeys[0]

    def _show(
        self, request: falcon.Request, response: falcon.Response, did: str, proof: str, failure: str
    ) -> None:
        own = self.parts.settings.of(did)
        languages = own.languages or languages_of(request.get_header("Accept-Language") or "")
        try:
            with self.store.read() as snapshot:
                found = _communities(snapshot, self._feed, languages) if snapshot else []
            picked = {pick.post_uri for pick in picks_of(self.parts.config.activity_path, did)}
        except (StoreUnreadableError, sqlite3.Error) as error:
            raise UnavailableError("this can't be read just now") from error
        uris = [uri for _, posts in found for uri in posts]
        described = self.parts.appview.describe(uris, here=False)
        communities = [_named(language, posts, described) for language, posts in found]
        show_form(
            response,
            "start.html",
            self.parts.config,
            proof=proof,
            failure=failure,
            paused=own.is_paused,
            communities=[each for each in communities if each.posts],
            picked=picked,
            most=PICKS_MAX,
            described=described,
            now=self.parts.now(),
        )


@dataclass(slots=True)
class TakePicksBack:
    """POST /me/take-picks-back: all picks are as if they had not been made."""

    parts: MeParts

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Delete the picks; the next run makes the list without them."""
        session, _ = self.parts.form(request)
        try:
            at_us = int(self.parts.now() * 1e6)
            self.parts.report("taken back", session.did, at_us, post_uri="")
            take_back_picks(self.parts.config.activity_path, session.did, at_us)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError("they can't be taken back just now") from error
        self.parts.memory.forget_viewer(session.did)
        go(response, ME)


def languages_of(header: str) -> tuple[str, ...]:
    """Return the first languages that a browser wants, as two or three letters."""
    names = [part.partition(";")[0].partition("-")[0].strip().lower() for part in header[:500].split(",")]
    fitting = [name for name in names if 2 <= len(name) <= 3 and name.isascii() and name.isalpha()]
    return tuple(dict.fromkeys(fitting))[:LANGUAGES_READ]


def _communities(snapshot: ListSnapshot, feed: str, languages: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return communities of the languages in turn, of all languages where these have none."""
    found = snapshot.communities(feed, list(languages)) or snapshot.communities(feed, [""])
    mine = [language for language in (*languages, "") if language in found]
    chosen: list[tuple[str, list[str]]] = []
    for place in range(SHOWN):
        chosen += [(name, found[name][place]) for name in mine if place < len(found[name])]
    return chosen[:SHOWN]


def _named(language: str, posts: list[str], described: Described) -> Community:
    """Return a community as it is shown: without posts that need a warning, with the hashtags that its posts share."""
    shown = [uri for uri in posts if (card := described.posts.get(uri)) is None or not card.warning]
    if described.complete:
        shown = [uri for uri in shown if described.posts.get(uri) is not None] if described.posts else shown
    tags: Counter[str] = Counter()
    for uri in shown:
        if (card := described.posts.get(uri)) is not None:
            tags.update({part.text for part in card.segments if _HASHTAG in (part.address or "")})
    return Community(NAMES.get(language, language) if language else "", shown, _first(tags))


def _first(tags: Counter[str]) -> list[str]:
    return [tag for tag, _ in sorted(tags.items(), key=lambda item: (-item[1], item[0]))[:TAGS_SHOWN]]
