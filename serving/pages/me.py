"""Pages for somebody who is signed in: their settings, and what is known about them.

Owns: those pages, their forms and their words. Leaves to others: who is signed in (``sign_in.browser_sessions``), the
settings (``viewers.own_settings``), what is stored (``viewers.known_to_us``), and deleting (``viewers.forgotten``).

Invariant: everything here is about the DID of the session. No address and no field names anybody else.
"""

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

import falcon

from serving.budgets.viewer_classes import ViewerClasses
from serving.config import ServingConfig
from serving.http.clients import client_address
from serving.identity.dids import is_signer
from serving.identity.handles import HandleError, Handles
from serving.lists.list_store import ListStore
from serving.pages.appview import AppViewReader
from serving.pages.first_list import picked_by
from serving.pages.forms import form_of, one
from serving.pages.html import go, show, show_form
from serving.pages.own_commands import CommandError, run_json
from serving.pages.recipe import CHOICES, OWN_CHOICES, read_own
from serving.pages.turns import BusyError, Turns
from serving.sign_in.browser_sessions import BrowserSession, BrowserSessions
from serving.sign_in.session_store import SESSION_SECONDS, SessionStore
from serving.viewers.forgotten import forget_activity, request_forgetting
from serving.viewers.journal import Journal, OwnWord, report
from serving.viewers.known_to_us import NOTHING, known_to_us, take_back
from serving.viewers.own_settings import (
    HIDDEN_AUTHORS_MAX,
    LANGUAGES_MAX,
    SEEN,
    USUAL,
    OwnSettings,
    SettingsNotSavedError,
    SettingsStore,
)
from serving.viewers.viewer_memory import ViewerMemory
from serving.web_errors import UnavailableError
from sql import places

ME, SAVE, TAKE_BACK, FORGET, DOWNLOAD, RETENTION = (
    "/me", "/me/settings", "/me/take-back", "/me/forget", "/me/known.json", "/retention",
)  # fmt: skip
HANDLES_MAX = 5  # of new names in a form that are looked up
TURN_SECONDS = 3.0
DOWNLOAD_MAX_BYTES = 20_000_000
BUSY_SECONDS = 2.0
_LANGUAGE = re.compile("[a-z]{2,3}")
_MEDIA = dict(next(choice for choice in CHOICES if choice.name == "media").options)
_SEEN_WORDS = {
    "last": "behind posts that are new to me",
    "hidden": "not at all",
    "in place": "in their usual place",
}


@dataclass(slots=True)
class MeParts:
    """What the pages share."""

    config: ServingConfig
    sessions: BrowserSessions
    store: SessionStore
    settings: SettingsStore
    classes: ViewerClasses
    memory: ViewerMemory
    appview: AppViewReader
    handles: Handles
    turns: Turns
    lists: ListStore
    journal: Journal | None
    now: Callable[[], float]

    def report(self, kind: str, viewer: str, at_us: int, **values: str) -> None:
        """Let the other machines know, where several serve; OSError when that fails."""
        if self.journal is not None:
            report(self.journal, OwnWord(kind, viewer, at_us, values))

    def form(self, request: falcon.Request) -> tuple[BrowserSession, dict[str, list[str]]]:
        """Return the session and the fields of a form that may be sent; 401 or 403 else."""
        self.sessions.require_own_page(request)
        session = self.sessions.require(request)
        fields = form_of(request)
        self.sessions.require_proof(session, one(fields, "proof"))
        return session, fields


@dataclass(slots=True)
class MePage:
    """GET /me: the settings, and what is known."""

    parts: MeParts

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page; whoever is not signed in goes to the form."""
        session = self.parts.sessions.of(request)
        if session is None:
            raise falcon.HTTPSeeOther("/sign-in")
        show_me(self.parts, response, session, self.parts.settings.of(session.did), "")


def show_me(
    parts: MeParts, response: falcon.Response, session: BrowserSession, own: OwnSettings, failure: str
) -> None:
    """Answer the page with settings in its form, which may not be saved."""
    try:
        known = known_to_us(parts.config.activity_path, session.did)
    except sqlite3.Error:
        known, failure = NOTHING, failure or "what is known about you can't be read just now"
    picked = picked_by(
        parts.config.activity_path,
        parts.lists,
        parts.config.feed_rkeys[0],
        session.did,
        int(parts.now() * 1e6),
    )
    uris = [*(each.post_uri for each in known.answers), *(each.post_uri for each in picked.picks)]
    uris += picked.made.posts
    described = parts.appview.describe(uris, dids=[session.did, *own.hidden_authors][:25])
    show_form(
        response,
        "me.html",
        parts.config,
        did=session.did,
        proof=session.proof,
        own=own,
        seen=_SEEN_WORDS,
        media=_MEDIA,
        choices=OWN_CHOICES,
        chosen={name: f"{value:g}" for name, value in own.ranking.items()},
        most=HIDDEN_AUTHORS_MAX,
        known=known,
        picked=picked,
        why=bool(parts.config.explain),
        failure=failure,
        download=bool(parts.config.known),
        described=described,
        now=parts.now(),
    )


@dataclass(slots=True)
class SaveSettings:
    """POST /me/settings."""

    parts: MeParts

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Save the form, in force on the next page or in the next list; or say what is wrong, with the form as sent."""
        session, fields = self.parts.form(request)
        before = self.parts.settings.of(session.did)
        own = before
        try:
            own = self._read(fields, before)
            known = self.parts.classes.is_known(session.did)
            self.parts.settings.save(session.did, own, known=known)
        except (HandleError, SettingsNotSavedError) as error:
            response.status = falcon.HTTP_400
            show_me(self.parts, response, session, own, str(error))
            return
        go(response, ME)

    def _read(self, fields: dict[str, list[str]], before: OwnSettings) -> OwnSettings:
        if "usual" in fields:
            return USUAL
        seen = one(fields, "seen")
        names = list(
            dict.fromkeys(re.split(r"[\s,]+", one(fields, "hidden_authors").strip()))
            if one(fields, "hidden_authors").strip()
            else []
        )
        if len(names) > HIDDEN_AUTHORS_MAX:
            raise HandleError(f"at most {HIDDEN_AUTHORS_MAX} accounts can be hidden")
        dids, looked_up = [], 0
        for name in names:
            if not is_signer(name, loopback=self.parts.config.on_loopback_network):
                looked_up += 1
                if looked_up > HANDLES_MAX:
                    raise HandleError(
                        f"at most {HANDLES_MAX} handles are looked up at once; save these first"
                    )
            try:
                dids.append(self.parts.handles.did_of(name))
            except HandleError as error:
                raise HandleError(f"{name[:60]}: {error}") from error
        return replace(
            before,
            seen=seen if seen in SEEN else before.seen,
            hidden_authors=tuple(dict.fromkeys(dids)),
            is_paused=one(fields, "paused") == "1",
            languages=_languages(one(fields, "languages")),
            media=_media(one(fields, "media")),
            ranking=read_own({choice.name: one(fields, choice.name) for choice in OWN_CHOICES}),
        )


@dataclass(slots=True)
class TakeBack:
    """POST /me/take-back: an answer of "show less" or "show more" is as if it had not been given."""

    parts: MeParts

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Delete the answers to a post; what they hid is shown again on the next page of the feed."""
        session, fields = self.parts.form(request)
        try:
            at_us = int(self.parts.now() * 1e6)
            self.parts.report("taken back", session.did, at_us, post_uri=one(fields, "post"))
            take_back(self.parts.config.activity_path, session.did, one(fields, "post"), at_us)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError("it can't be taken back just now") from error
        self.parts.memory.forget_viewer(session.did)
        go(response, ME)


@dataclass(slots=True)
class ForgetMe:
    """POST /me/forget: delete what is known, and sign out everywhere."""

    parts: MeParts

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Delete what viewers did at once; the next batch deletes the rest."""
        session, fields = self.parts.form(request)
        if one(fields, "sure") != "1":
            response.status = falcon.HTTP_400
            own = self.parts.settings.of(session.did)
            show_me(self.parts, response, session, own, "tick the box to delete everything")
            return
        path, now_us = self.parts.config.activity_path, int(self.parts.now() * 1e6)
        try:
            self.parts.report("forget", session.did, now_us)
            forget_activity(path, session.did, now_us, busy_seconds=BUSY_SECONDS)
            request_forgetting(path, session.did, now_us)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError("it can't be deleted just now: try again") from error
        self.parts.memory.forget_viewer(session.did)
        self.parts.sessions.close(request, response)
        self.parts.store.close_all(session.did, now_us)
        go(response, "/")


@dataclass(slots=True)
class Download:
    """GET /me/known.json: all that is known, as a file."""

    parts: MeParts

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer what ``foryou viewer export`` says."""
        session = self.parts.sessions.require(request)
        client = client_address(request, self.parts.config.trusted_proxies)
        turns, command = self.parts.turns, [*self.parts.config.known, session.did]
        try:
            with turns.place(client), turns.turn(client, TURN_SECONDS):
                response.media = run_json(command, DOWNLOAD_MAX_BYTES)
        except (BusyError, CommandError, OSError) as error:
            raise UnavailableError("this can't be gathered just now: try again in a minute") from error
        response.set_header("Content-Disposition", 'attachment; filename="what-this-feed-knows.json"')
        response.set_header("Cache-Control", "private, no-store")


@dataclass(slots=True)
class RetentionPage:
    """GET /retention: what is kept, how long and where, in plain words; for everybody."""

    config: ServingConfig

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page."""
        show(
            response,
            "retention.html",
            self.config,
            seconds=3600,
            days=places.ACTIVITY_DAYS,
            session_hours=int(SESSION_SECONDS // 3600),
        )


def _languages(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(re.split(r"[\s,]+", text.strip().lower()))) if text.strip() else ()
    if len(names) > LANGUAGES_MAX or not all(_LANGUAGE.fullmatch(name) for name in names):
        raise HandleError("languages are codes of two or three letters, such as en, de")
    return names


def _media(text: str) -> int:
    return int(text) if text in _MEDIA else 0
