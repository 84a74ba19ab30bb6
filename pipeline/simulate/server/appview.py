"""What Bluesky's AppView says of the simulated posts and people.

Owns: the answers of three methods, and the pictures that they name. Leaves to others: HTTP (``http_pages``), the
records (``render_post``), drawing (``pictures``).

    GET /xrpc/app.bsky.feed.getPosts?uris=…&uris=…           up to 25 posts
    GET /xrpc/app.bsky.actor.getProfiles?actors=…            up to 25 people, by DID or handle
    GET /xrpc/com.atproto.identity.resolveHandle?handle=…    {"did": …}
    GET /img/avatar/DID, /img/scene/NAME                     SVG

Posts say what the stream said of them. As at the real AppView, posts that are deleted or whose author is hidden are
left out, and so are people who are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.identifiers import parse_post_uri
from pipeline.simulate.lines.render_odd import PROFILE_CREATED
from pipeline.simulate.randomness import Flags, Ints
from pipeline.simulate.server import pictures
from pipeline.simulate.text_columns import iso_matrix, texts
from pipeline.simulate.timeline import World
from pipeline.simulate.world import names
from pipeline.simulate.world.posts import Mark

AT_ONCE = 25
COUNTED_EVENTS_MOST = 5_000_000  # a larger world does not count likes: they are optional in the answer
COUNT_AGAIN_US = 30_000_000


class AppViewError(Exception):
    """The request breaks a rule; the text says which."""


class AppView:
    """Answers for one world; ``origin`` in its methods is where clients reach it, such as http://127.0.0.1:6008."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._counted_us = 0
        self._counts: dict[tuple[int, int], int] = {}

    def posts(self, uris: Sequence[str], now_us: int, origin: str) -> dict[str, Any]:
        """Return the answer of getPosts."""
        if not 1 <= len(uris) <= AT_ONCE:
            raise AppViewError(f"uris: from 1 to {AT_ONCE}")
        with self._world.lock:
            numbers = [number for uri in uris if (number := self._number(uri, now_us)) is not None]
            return {"posts": [self._post(number, now_us, origin) for number in numbers]}

    def profiles(self, actors: Sequence[str], now_us: int, origin: str) -> dict[str, Any]:
        """Return the answer of getProfiles."""
        if not 1 <= len(actors) <= AT_ONCE:
            raise AppViewError(f"actors: from 1 to {AT_ONCE}")
        people = self._world.people
        with self._world.lock:
            found = []
            for actor in actors:
                number = people.number.get(actor, names.number_of(actor))
                if number is None or number >= people.count or self._hidden(number, now_us):
                    continue
                found.append(self._person(number, origin) | {"description": people.about(number)})
            return {"profiles": found}

    def did_of(self, handle: str) -> str:
        """Return the DID of a handle."""
        number = names.number_of(handle.lower())
        if number is None or number >= self._world.people.count:
            raise AppViewError("Unable to resolve handle")
        return self._world.people.dids[number]

    def _number(self, uri: str, now_us: int) -> int | None:
        parsed = parse_post_uri(uri)
        author = None if parsed is None else self._world.people.number.get(parsed[0])
        if parsed is None or author is None:
            return None
        table = self._world.posts
        wanted: Flags = (table.since("rkey", table.base) == parsed[1]) & (
            table.since("author", table.base) == author
        )
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return None
        number = table.base + int(rows[0])
        one = np.array([number])
        there = int(table.of("created_us", one)[0]) <= now_us < int(table.of("deleted_us", one)[0])
        return number if there and not self._hidden(author, now_us) else None

    def _hidden(self, person: int, now_us: int) -> bool:
        return bool(self._world.hidden(np.array([person]), now_us)[0])

    def _person(self, number: int, origin: str) -> dict[str, Any]:
        did = self._world.people.dids[number]
        return {
            "did": did,
            "handle": self._world.people.handle(number),
            "displayName": names.display_name(number),
            "avatar": f"{origin}/img/avatar/{did}",
            "labels": [
                {
                    "src": did,
                    "uri": f"at://{did}/app.bsky.actor.profile/self",
                    "val": value,
                    "cts": PROFILE_CREATED,
                }
                for value in self._world.people.self_labels(number)
            ],
            "createdAt": PROFILE_CREATED,
        }

    def _post(self, number: int, now_us: int, origin: str, *, quoting: bool = True) -> dict[str, Any]:
        table, one = self._world.posts, np.array([number])
        author = int(table.of("author", one)[0])
        record = {"$type": "app.bsky.feed.post", **self._world.renderer.posts.records(one)[0]}
        [reference] = self._world.renderer.posts.refs(one)
        values = record.get("labels", {}).get("values", [])
        did = self._world.people.dids[author]
        post: dict[str, Any] = {
            **reference,
            "author": self._person(author, origin),
            "record": record,
            "indexedAt": texts(iso_matrix(table.of("created_us", one)))[0],
            "labels": [
                {"src": did, "uri": reference["uri"], "val": value["val"], "cts": record["createdAt"]}
                for value in values
            ],
            "replyCount": self._replies(one, now_us),
        }
        likes = self._likes(now_us)
        if likes is not None:
            post["likeCount"] = likes.get((author, int(table.of("rkey", one)[0])), 0)
        if "embed" in record and (quoting or record["embed"]["$type"] != "app.bsky.embed.record"):
            post["embed"] = self._embed(record["embed"], reference["cid"], now_us, origin)
        return post

    def _embed(self, embed: Mapping[str, Any], cid: str, now_us: int, origin: str) -> dict[str, Any]:
        kind, scene = embed["$type"], f"{origin}/img/scene/{cid}"
        view: dict[str, Any] = {"$type": f"{kind}#view"}
        if kind == "app.bsky.embed.images":
            view["images"] = [
                {
                    "thumb": f"{scene}-{place}",
                    "fullsize": f"{scene}-{place}",
                    "alt": image["alt"],
                    "aspectRatio": image["aspectRatio"],
                }
                for place, image in enumerate(embed["images"])
            ]
        elif kind == "app.bsky.embed.video":
            view |= {
                "cid": cid,
                "playlist": f"{scene}.m3u8",
                "thumbnail": scene,
                "aspectRatio": embed["aspectRatio"],
            }
        elif kind == "app.bsky.embed.external":
            external = embed["external"]
            view["external"] = {name: external[name] for name in ("uri", "title", "description")} | {
                "thumb": scene
            }
        else:
            view["record"] = self._quoted(embed["record"]["uri"], now_us, origin)
        return view

    def _quoted(self, uri: str, now_us: int, origin: str) -> dict[str, Any]:
        number = self._number(uri, now_us)
        if number is None:
            return {"$type": "app.bsky.embed.record#viewNotFound", "uri": uri, "notFound": True}
        post = self._post(number, now_us, origin, quoting=False)
        kept = {name: post[name] for name in ("uri", "cid", "author", "labels", "indexedAt", "replyCount")}
        embeds = [post["embed"]] if "embed" in post else []
        return {
            "$type": "app.bsky.embed.record#viewRecord",
            **kept,
            "value": post["record"],
            "embeds": embeds,
        }

    def _replies(self, post: Ints, now_us: int) -> int:
        table = self._world.posts
        replies = (table.since("marks", table.base) & int(Mark.REPLY)) != 0
        replies &= table.since("created_us", table.base) <= now_us  # the world may have been made further
        return int(np.count_nonzero(replies & (table.since("parent", table.base) == post[0])))

    def _likes(self, now_us: int) -> dict[tuple[int, int], int] | None:
        """Return the number of likes of each post, by author and rkey, as of a moment ago."""
        if self._world.event_count > COUNTED_EVENTS_MOST:
            return None
        if not self._counts or now_us - self._counted_us > COUNT_AGAIN_US:
            self._counts, self._counted_us = self._world.like_counts_of_posts(now_us), now_us
        return self._counts


def picture(path: str) -> bytes | None:
    """Return the picture of a path, None when the path is none."""
    kind, _, name = path.removeprefix("/img/").partition("/")
    if not path.startswith("/img/") or not name or len(name) > 200:
        return None
    if kind == "avatar":
        return pictures.avatar(name)
    return pictures.scene(name) if kind == "scene" else None
