"""The lines of new posts.

Owns: a post's JSON: text, languages, reply, embed, labels. Leaves to others: what the post is (``posts``),
the sentences (``sentences``).
"""

from typing import Any

import numpy as np
import orjson

from pipeline.simulate.lines.render_odd import commit_event
from pipeline.simulate.lines.sentences import POOL, sentences
from pipeline.simulate.randomness import Bytes, Ints, Words, hashed
from pipeline.simulate.text_columns import iso_matrix, texts, tid_matrix
from pipeline.simulate.world.event_columns import Events
from pipeline.simulate.world.people import People
from pipeline.simulate.world.posts import Mark, PostTable

_ADULT = ("porn", "sexual", "nudity")
_TAGS = ("art", "news", "photography", "music", "books")


class PostWriter:
    """Writes the posts of one world."""

    def __init__(self, seed: int, people: People, table: PostTable) -> None:
        self._seed, self._people, self._table = seed, people, table

    def lines(self, events: Events, revs: Bytes, _marks: Words) -> list[bytes]:
        """Return one line for each POST event."""
        posts = events.target
        columns = (texts(self._table.cids(posts)), texts(revs), texts(tid_matrix(events.rkey)))
        dids = [self._people.dids[actor] for actor in events.actor.tolist()]
        lines = []
        for did, time, cid, rev, rkey, record in zip(
            dids, events.time_us.tolist(), *columns, self.records(posts), strict=True
        ):
            fields = {"did": did, "time": time, "rev": rev, "cid": cid}
            lines.append(orjson.dumps(commit_event(fields, "create", "app.bsky.feed.post", rkey, record)))
        return lines

    def records(self, posts: Ints) -> list[dict[str, Any]]:
        """Return the records of posts, by number."""
        table, communities = self._table, self._people.communities
        marks = hashed(self._seed, 32, posts).tolist()
        places = table.of("community", posts).tolist()
        flags = table.of("marks", posts).tolist()
        authors = table.of("author", posts)
        own_cids = texts(table.cids(posts))
        created = texts(iso_matrix(table.of("created_us", posts) - self._people.lag_us[authors]))
        parents, roots = self.refs(table.of("parent", posts)), self.refs(table.of("root", posts))
        found = []
        for row, mark in enumerate(marks):
            record: dict[str, Any] = {"createdAt": created[row]}
            flag, language, topic = (
                flags[row],
                communities.language(places[row]),
                communities.topic(places[row]),
            )
            link = _link(mark)
            embed = self._embed(flag, mark, link, parents[row], own_cids[row], topic)
            if embed:
                record["embed"] = embed
            if flag & (Mark.ADULT | Mark.HIDE | Mark.SIGNED_IN):
                record["labels"] = _labels(flag, mark)
            text = _text(mark, language, topic)
            if mark % 5 == 0:
                text, record["facets"] = self._with_facet(text, link, mark, topic)
            if mark % 23:  # some clients name no language, a few name two or a wrong one
                record["langs"] = [language] if mark % 19 else ["en", language][mark // 19 % 2 :]
            if flag & Mark.REPLY:
                record["reply"] = {"parent": parents[row], "root": roots[row]}
            record["text"] = text
            found.append(record)
        return found

    def refs(self, posts: Ints) -> list[dict[str, str]]:
        """Return strong references to posts; for -1, to some post."""
        known = np.maximum(posts, self._table.base)
        dids = [self._people.dids[int(author)] for author in self._table.of("author", known)]
        cids, rkeys = texts(self._table.cids(known)), texts(tid_matrix(self._table.of("rkey", known)))
        return [
            {"cid": cid, "uri": f"at://{did}/app.bsky.feed.post/{rkey}"}
            for cid, did, rkey in zip(cids, dids, rkeys, strict=True)
        ]

    def _with_facet(self, text: str, link: str, mark: int, topic: str) -> tuple[str, list[dict[str, Any]]]:
        """Return the text with a tag, a mention or a link at its end, and the facets that say so."""
        if mark % 2:
            shown, feature = "#" + topic, {"$type": "app.bsky.richtext.facet#tag", "tag": topic}
        elif mark % 4:
            person = mark % self._people.count
            shown = "@" + self._people.handle(person)
            feature = {"$type": "app.bsky.richtext.facet#mention", "did": self._people.dids[person]}
        else:
            shown, feature = link[12:40] + "...", {"$type": "app.bsky.richtext.facet#link", "uri": link}
        start = len(text.encode()) + 2
        index = {"byteEnd": start + len(shown), "byteStart": start}
        return f"{text}\n\n{shown}", [{"features": [feature], "index": index}]

    def _embed(
        self, flag: int, mark: int, link: str, quoted: dict[str, str], cid: str, topic: str
    ) -> dict[str, Any] | None:
        blob = {
            "$type": "blob",
            "ref": {"$link": "bafkrei" + cid[7:]},
            "mimeType": "image/jpeg",
            "size": 100_000 + mark % 800_000,
        }
        if flag & Mark.IMAGES:
            shape = {"height": 900 + mark % 900, "width": 1600}
            image = {"alt": f"A picture about {topic}", "aspectRatio": shape, "image": blob}
            images = [image] * (1 + mark % 3)
            return {"$type": "app.bsky.embed.images", "images": images}
        if flag & Mark.VIDEO:
            video = blob | {"mimeType": "video/mp4"}
            return {
                "$type": "app.bsky.embed.video",
                "aspectRatio": {"height": 1280, "width": 720},
                "video": video,
            }
        if flag & Mark.EXTERNAL:
            title, about = (_text(number, "en", topic) for number in (mark // 7, mark // 11))
            external = {"description": about, "thumb": blob, "title": title, "uri": link}
            return {"$type": "app.bsky.embed.external", "external": external}
        if flag & Mark.QUOTE:
            return {"$type": "app.bsky.embed.record", "record": quoted}
        return None


def _text(mark: int, language: str, topic: str) -> str:
    pool = sentences(language, topic)
    text = pool[mark % POOL]
    return text if mark >> 10 & 1 else text + " " + pool[(mark >> 11) % POOL]


def _link(mark: int) -> str:
    return f"https://www.example.com/{mark % 10_000_000}/{_TAGS[mark % len(_TAGS)]}?source=share"


def _labels(flag: int, mark: int) -> dict[str, Any]:
    values = []
    if flag & Mark.ADULT:
        values.append(_ADULT[mark % len(_ADULT)])
    if flag & Mark.HIDE:
        values.append("!hide")
    if flag & Mark.SIGNED_IN:
        values.append("!no-unauthenticated")
    return {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": value} for value in values]}
