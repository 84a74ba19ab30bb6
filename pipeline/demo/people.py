"""The demo's people: who to look at, and what they do in the feed so that every plot has something to show.

Owns: choosing people of clearly different tastes, naming them by what they like, and their visits: they open the feed,
see posts, like some, and press "show less" now and then. Leaves to others: the network's own events
(``foryou simulate``), which go on whatever happens here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from pipeline.demo.end_to_end_checks import INTERACTIONS, SKELETON_PATH, Demo

SHOWN = 6
VISITORS = 40
_POSTS = 20
_KNOWN, _LIKES_LEAST = 1_000, 25  # of so many people those who like enough to have a list of their own
_EVENT = "app.bsky.feed.defs#"


@dataclass(frozen=True, slots=True)
class Character:
    """A person to look at, by name and what they like most."""

    did: str
    name: str
    handle: str
    likes: str
    language: str


def cast(demo: Demo, count: int = SHOWN) -> list[Character]:
    """Return people with clear tastes, each with another favourite; most read English, and they come first."""
    found: dict[str, Character] = {}
    people = [person for person in demo.simulator("viewers", n=_KNOWN) if person["likes"] >= _LIKES_LEAST]
    for person in sorted(
        people, key=lambda each: -max((own["taste"] for own in each["communities"]), default=0.0)
    ):
        topics = [_topic(each["name"]) for each in person["communities"][:2]]
        if topics and topics[0] not in found and topics[0] != "after dark" and len(found) < count:
            likes = " and ".join(dict.fromkeys(topics))
            language = person["communities"][0]["language"]
            others = sum(each.language != "en" for each in found.values())
            if language != "en" and others >= count // 3:
                continue
            found[topics[0]] = Character(person["did"], person["name"], person["handle"], likes, language)
    return sorted(found.values(), key=lambda each: each.language != "en")


def visit(demo: Demo, people: Sequence[str]) -> int:
    """Have people open the feed and answer what they see; return how many interactions they sent."""
    sent = 0
    with httpx.Client(base_url=demo.address, timeout=30) as client:
        for number, did in enumerate(people):
            headers = {"Authorization": f"Bearer {demo.token(did)}"}
            query: dict[str, Any] = {"feed": demo.feed_uri, "limit": _POSTS}
            answer = client.get(SKELETON_PATH, params=query, headers=headers)
            if answer.status_code != 200:
                continue
            posts = answer.json()["feed"]
            events = [(item, "interactionSeen") for item in posts[: 5 + number % 10]]
            events += [(item, "interactionLike") for item in posts[number % 3 : 6 : 2]]
            if number % 4 == 0:
                events += [(item, "requestLess") for item in posts[-1:]]
            interactions = [
                {"item": item["post"], "event": _EVENT + event, "feedContext": item.get("feedContext", "")}
                for item, event in events
            ]
            headers = {"Authorization": f"Bearer {demo.token(did, INTERACTIONS)}"}
            body = {"feed": demo.feed_uri, "interactions": interactions}
            answer = client.post(f"/xrpc/{INTERACTIONS}", json=body, headers=headers)
            sent += len(interactions) if answer.status_code == 200 else 0
    return sent


def _topic(community: str) -> str:
    return community.rsplit("-", 2)[0].replace("-", " ")
