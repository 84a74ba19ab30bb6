"""The HTTP side: the PLC directory and the simulator's own pages.

Owns: the response of each path. Leaves to others: sockets (``listener``).

    GET /did:plc:…                                     a DID document
    GET /simulator/status                              the world's time, size and parameters
    GET /simulator/viewers?n=20                        people who like much, and typical ones
    GET /simulator/token?did=&aud=&lxm=[&seconds=60]   {"token": …}, as the PDS would mint it
    GET /simulator/record?until=TIME_US                what is true at a time, as JSON lines
    GET /simulator/next?from=TIME_US&hours=3           what people will like after a time, as JSON lines
    GET /simulator/labeler                             the labeler's DID
    GET /simulator/labels                              what it says now: {"uri", "val"}, as JSON lines
    GET /simulator/label?uri=&val=[&neg=true][&exp=TIME]   {"seq": …}: let it label something, or take that back
    GET /profile/…, /hashtag/…                         what the app would show (``app_pages``)
    GET /xrpc/…, /img/…                                the AppView's methods and pictures (``appview``)
"""

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import orjson
from websockets.datastructures import Headers
from websockets.http11 import Response

from pipeline.simulate.ground_truth import ground_truth
from pipeline.simulate.next_likes import next_likes
from pipeline.simulate.parameters import HOUR_US
from pipeline.simulate.server.accounts import account_of, mint_token
from pipeline.simulate.server.app_pages import app_page
from pipeline.simulate.server.appview import AppView, AppViewError, picture
from pipeline.simulate.server.labeler import Labeler
from pipeline.simulate.timeline import World
from pipeline.simulate.world.names import display_name

_TOKEN_SECONDS_MOST = 3600
_NEXT_HOURS_MOST = 12


class PageError(Exception):
    """A request cannot be answered; the text says why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpPages:
    """The pages of one world; ``now_us`` and ``speed`` come from the server's clock."""

    def __init__(self, world: World, speed: float, labeler: Labeler) -> None:
        self._world, self._speed, self._appview = world, speed, AppView(world)
        self._labeler = labeler

    def answer(self, target: str, now_us: int, origin: str = "") -> Response:
        """Return the response to GET ``target`` (path and query); ``origin`` is where the client reached us."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        lists = parse_qs(parts.query)
        query = {name: values[0] for name, values in lists.items()}
        try:
            if path.startswith("/did:"):
                return _json(self._document(path[1:], origin))
            if path == "/simulator/status":
                return _json(self._status(now_us))
            if path == "/simulator/viewers":
                return _json(viewers(self._world, min(10_000, _number(query, "n", 20))))
            if path == "/simulator/token":
                return _json({"token": self._token(query)})
            if path == "/simulator/record":
                return self._record(_number(query, "until", now_us), now_us)
            if path == "/simulator/next":
                return self._next(query, now_us)
            if path == "/simulator/labeler":
                return _json({"did": self._labeler.did})
            if path == "/simulator/labels":
                return self._labels(now_us)
            if path == "/simulator/label":
                return _json({"seq": self._label(query)})
            if path.startswith("/xrpc/"):
                return _json(self._method(path.removeprefix("/xrpc/"), lists, now_us, origin))
            if (page := app_page(self._appview, path, now_us, origin)) is not None:
                return _response(HTTPStatus.OK, "text/html; charset=utf-8", page.encode())
            if (found := picture(path)) is not None:
                return _response(HTTPStatus.OK, "image/svg+xml", found, **{"Cache-Control": "max-age=86400"})
            raise PageError(HTTPStatus.NOT_FOUND, f"no page {path}")
        except PageError as error:
            return _json({"message": str(error)}, error.status)
        except AppViewError as error:
            return _json({"error": "InvalidRequest", "message": str(error)}, HTTPStatus.BAD_REQUEST)

    def _method(self, name: str, lists: dict[str, list[str]], now_us: int, origin: str) -> dict[str, Any]:
        if name == "app.bsky.feed.getPosts":
            return self._appview.posts(lists.get("uris", []), now_us, origin)
        if name == "app.bsky.actor.getProfiles":
            return self._appview.profiles(lists.get("actors", []), now_us, origin)
        if name == "com.atproto.identity.resolveHandle":
            return {"did": self._appview.did_of(lists.get("handle", [""])[0])}
        raise PageError(HTTPStatus.NOT_IMPLEMENTED, f"no method {name}")

    def _document(self, did: str, origin: str) -> dict[str, Any]:
        if did == self._labeler.did:
            return self._labeler.document(origin)
        account = account_of(self._world.people, did)
        if account is None:
            raise PageError(HTTPStatus.NOT_FOUND, f"DID not registered: {did}")
        return account.document()

    def _status(self, now_us: int) -> dict[str, Any]:
        parameters = self._world.parameters
        return {
            "head_us": now_us,
            "start_us": parameters.start_us,
            "end_us": parameters.end_us,
            "kept_from_us": self._world.kept_from_us,
            "events": self._world.count_until(now_us),
            "users": parameters.users,
            "days": parameters.days,
            "seed": parameters.seed,
            "speed": self._speed,
            "clustering": parameters.clustering,
        }

    def _token(self, query: dict[str, str]) -> str:
        account = account_of(self._world.people, query.get("did", ""))
        if account is None:
            raise PageError(HTTPStatus.NOT_FOUND, "did: unknown here")
        if not query.get("aud"):
            raise PageError(HTTPStatus.BAD_REQUEST, "aud: missing")
        seconds = _number(query, "seconds", 60)
        if abs(seconds) > _TOKEN_SECONDS_MOST:
            raise PageError(HTTPStatus.BAD_REQUEST, f"seconds: at most {_TOKEN_SECONDS_MOST}")
        return mint_token(account, query["aud"], query.get("lxm"), seconds)

    def _labels(self, now_us: int) -> Response:
        found = [{"uri": uri, "val": val} for uri, val in self._labeler.labels(now_us)]
        lines = b"".join(orjson.dumps(label) + b"\n" for label in found)
        return _response(HTTPStatus.OK, "application/x-ndjson", lines)

    def _label(self, query: dict[str, str]) -> int:
        if not query.get("uri") or not query.get("val"):
            raise PageError(HTTPStatus.BAD_REQUEST, "uri, val: both are needed")
        neg = query.get("neg") == "true"
        return self._labeler.label(query["uri"], query["val"], neg=neg, exp=query.get("exp"))

    def _next(self, query: dict[str, str], now_us: int) -> Response:
        from_us, hours = _number(query, "from", now_us), _number(query, "hours", 3)
        if not 0 < hours <= _NEXT_HOURS_MOST or not from_us <= now_us:
            raise PageError(HTTPStatus.BAD_REQUEST, f"hours: 1 to {_NEXT_HOURS_MOST}; from: at most {now_us}")
        found = next_likes(self._world, from_us, from_us + hours * HOUR_US)
        lines = b"".join(orjson.dumps(like._asdict()) + b"\n" for like in found)
        return _response(HTTPStatus.OK, "application/x-ndjson", lines)

    def _record(self, until_us: int, now_us: int) -> Response:
        if until_us > now_us:
            raise PageError(HTTPStatus.BAD_REQUEST, f"until: the stream has only come to {now_us}")
        try:
            found = ground_truth(self._world, until_us)
        except ValueError as error:
            raise PageError(HTTPStatus.GONE, f"until: {error}") from error
        return _response(
            HTTPStatus.OK, "application/x-ndjson", b"".join(line + b"\n" for line in found.lines())
        )


def viewers(world: World, count: int) -> list[dict[str, Any]]:
    """Return people to look at: half of them like most, the other half like as much as typical likers do.

    Each as {did, handle, name, likes, kind: most|typical, communities: [{name, language, taste}]}, tastes of 5 % or
    more.
    """
    communities = world.people.communities
    likers = np.argsort(-world.like_counts, kind="stable")
    likers = likers[world.like_counts[likers] > 0]
    most = likers[: (count + 1) // 2]
    middle = max(len(most), len(likers) // 2 - count // 4)
    typical = likers[middle : middle + count - len(most)]
    result = []
    for kind, people in (("most", most), ("typical", typical)):
        for person in people.tolist():
            taste = world.people.taste[person]
            likes_in = [
                {
                    "name": communities.names[c],
                    "language": communities.language(c),
                    "taste": round(float(taste[c]), 3),
                }
                for c in np.argsort(-taste, kind="stable").tolist()
                if taste[c] >= 0.05
            ]
            did = world.people.dids[person]
            likes = int(world.like_counts[person])
            called = {"handle": world.people.handle(person), "name": display_name(person)}
            result.append({"did": did, **called, "likes": likes, "kind": kind, "communities": likes_in})
    return result


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return _response(status, "application/json", orjson.dumps(value))


def _response(status: HTTPStatus, content_type: str, body: bytes, **more: str) -> Response:
    headers = {"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close", **more}
    return Response(status.value, status.phrase, Headers(headers), body)


def _number(query: dict[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError as error:
        raise PageError(HTTPStatus.BAD_REQUEST, f"{name}: {query[name]!r} must be a whole number") from error
