"""What the demo's lists are worth: how much of what people like next is in their first thirty posts.

Owns: that figure. It asks the web app for lists and the simulated network for what people did before and will do next,
and looks at no store of the feed. Leaves to others: printing it (``command``).

Of each person's likes in the next hours, those count that fall on posts which were there when the lists were read.
The list to compare with is the popular one that a stranger with the person's language gets, without what the person had
liked already.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from pipeline.demo.end_to_end_checks import SKELETON_PATH, Demo

FIRST = 30
HOURS = 3
PEOPLE = 200


@dataclass(frozen=True, slots=True)
class Worth:
    """How many likes there were, and how many of them each kind of list had among its first posts."""

    people: int
    likes: int
    ours: int
    popular: int

    def text(self) -> str:
        """Return the figure as a sentence."""
        if not self.likes:
            return f"Nobody of {self.people} people likes a post in the next {HOURS} hours."
        ours, popular = (100 * part / self.likes for part in (self.ours, self.popular))
        return (
            f"Of what {self.people} people like in the next {HOURS} hours ({self.likes:,} likes), "
            f"our first {FIRST} posts hold {ours:.0f} %, the popular list {popular:.0f} %."
        )


def worth_of(
    lists: Mapping[str, Sequence[str]],
    popular: Mapping[str, Sequence[str]],
    liked: Mapping[str, set[str]],
    next_liked: Mapping[str, set[str]],
) -> Worth:
    """Return what lists are worth; all by DID, posts as at-uris."""
    total = ours = others = 0
    for did, posts in lists.items():
        wanted = next_liked.get(did, set())
        total += len(wanted)
        ours += len(wanted & set(posts[:FIRST]))
        fresh = [uri for uri in popular[did] if uri not in liked.get(did, set())]
        others += len(wanted & set(fresh[:FIRST]))
    return Worth(len(lists), total, ours, others)


def measure(demo: Demo) -> Worth:
    """Return what the lists that the web app serves now are worth."""
    spoken = {
        str(person["did"]): str(person["communities"][0]["language"])
        for person in demo.simulator("viewers", n=PEOPLE)
        if person["communities"]
    }
    with httpx.Client(base_url=demo.address, timeout=30) as client:
        popular = {
            language: _posts(demo, client, 100, {"Accept-Language": language})
            for language in set(spoken.values())
        }
        lists = {
            did: _posts(demo, client, FIRST, {"Authorization": f"Bearer {demo.token(did)}"}) for did in spoken
        }
    now_us = int(demo.simulator("status")["head_us"])
    next_liked: dict[str, set[str]] = defaultdict(set)
    for line in _lines(demo, "next", {"from": now_us, "hours": HOURS}):
        if line["written_us"] <= now_us:
            next_liked[line["did"]].add(line["uri"])
    liked: dict[str, set[str]] = defaultdict(set)
    for line in _lines(demo, "record", {"until": now_us}):
        if line["type"] == "like":
            liked[line["did"]].add(line["subject"])
    return worth_of(lists, {did: popular[spoken[did]] for did in lists}, liked, next_liked)


def _posts(demo: Demo, client: httpx.Client, limit: int, headers: dict[str, str]) -> list[str]:
    answer = client.get(SKELETON_PATH, params={"feed": demo.feed_uri, "limit": limit}, headers=headers)
    answer.raise_for_status()
    return [str(item["post"]) for item in answer.json()["feed"]]


def _lines(demo: Demo, name: str, query: dict[str, int]) -> Iterator[dict[str, Any]]:
    with httpx.stream("GET", f"{demo.network}/simulator/{name}", params=query, timeout=60) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            yield orjson.loads(line)
