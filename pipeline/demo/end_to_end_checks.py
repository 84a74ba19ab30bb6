"""What ``foryou demo --once`` checks: the running feed from outside, as the app and a stranger see it.

Owns: the addresses of a running demo, and the checks. Each check yields a line that says what it found; the first that
fails raises PipelineError. Leaves to others: starting the parts (``command``).
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from pipeline.demo.stored_likes import like_record, like_records
from pipeline.errors import PipelineError
from sql import places
from sql.sqlite import connect

SKELETON = "app.bsky.feed.getFeedSkeleton"
SKELETON_PATH = f"/xrpc/{SKELETON}"
INTERACTIONS = "app.bsky.feed.sendInteractions"
LABEL_SECONDS = 60.0
PAGE = 30  # posts a page, as the app requests them


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the demo's parts are, and clients for them."""

    data_dir: Path
    address: str  # of the web app, http://127.0.0.1:PORT
    pages: str  # of the operator's pages
    network: str  # of the simulated network
    service_did: str

    @property
    def feed_uri(self) -> str:
        """The feed's at-uri; in the demo the service is its own publisher."""
        return f"at://{self.service_did}/app.bsky.feed.generator/for-you"

    def simulator(self, name: str, **query: Any) -> Any:
        """Ask the simulated network: 'status', 'viewers', 'token'."""
        answer = httpx.get(f"{self.network}/simulator/{name}", params=query, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def token(self, viewer: str, method: str = SKELETON) -> str:
        """Return a token as the viewer's PDS would mint it for us, valid for an hour."""
        answer = self.simulator("token", did=viewer, aud=self.service_did, lxm=method, seconds=3600)
        return str(answer["token"])


def check(demo: Demo, viewer: str) -> Iterator[str]:
    """Yield a line for every check that succeeds. Raises PipelineError for the first that fails."""
    with httpx.Client(base_url=demo.address, timeout=10) as client:
        yield _identity(demo, client)
        yield _list_of(demo, client, viewer)
        yield from _refusals(demo, client, viewer)
        yield _interaction(demo, client, viewer)
        yield _label(demo, client, viewer)
        with httpx.Client(base_url=demo.pages, timeout=10) as pages:
            yield _page(pages, viewer)
    yield _store(demo)


def _hold(holds: bool, what: str) -> None:
    if not holds:
        raise PipelineError(f"a check of the demo failed: {what}")


def _identity(demo: Demo, client: httpx.Client) -> str:
    document = client.get("/.well-known/did.json").json()
    services = {service["type"] for service in document["service"]}
    _hold(document["id"] == demo.service_did and "BskyFeedGenerator" in services, f"did.json is {document}")
    described = client.get("/xrpc/app.bsky.feed.describeFeedGenerator").json()
    _hold({"uri": demo.feed_uri} in described["feeds"], f"describeFeedGenerator is {described}")
    return f"did.json and describeFeedGenerator name {demo.feed_uri}"


def _list_of(demo: Demo, client: httpx.Client, viewer: str) -> str:
    headers = {"Authorization": f"Bearer {demo.token(viewer)}"}
    posts = _pages(demo, client, headers)
    _hold(len(posts) == len(set(posts)), f"the list of {viewer} has a post twice")
    popular = _pages(demo, client, {})
    _hold(len(posts) >= PAGE and len(popular) >= PAGE, f"lists of {len(posts)} and {len(popular)} posts")
    shared = len(set(posts[:PAGE]) & set(popular[:PAGE]))
    _hold(posts[:PAGE] != popular[:PAGE], "a signed-in viewer gets the list of a stranger")
    return (
        f"{viewer} gets {len(posts)} posts in pages, none twice; "
        f"{shared} of the first {PAGE} are in a stranger's first {PAGE}"
    )


def _label(demo: Demo, client: httpx.Client, viewer: str) -> str:
    """Let the network's labeler label the viewer's first post, and take that back."""
    headers = {"Authorization": f"Bearer {demo.token(viewer)}"}
    first = _pages(demo, client, headers)[0]
    seconds = []
    for negated in ("false", "true"):
        demo.simulator("label", uri=first, val="spam", neg=negated)
        began = time.monotonic()
        while (first in _pages(demo, client, headers)) != (negated == "true"):
            _hold(time.monotonic() - began < LABEL_SECONDS, "a label of the labeler reaches no page")
            time.sleep(0.1)
        seconds.append(time.monotonic() - began)
    there, back = seconds
    return (
        f"a label takes a post off the list in {there:.1f} s, and its negation brings it back in {back:.1f} s"
    )


def _pages(demo: Demo, client: httpx.Client, headers: dict[str, str]) -> list[str]:
    posts: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"feed": demo.feed_uri, "limit": PAGE}
        if cursor is not None:
            query["cursor"] = cursor
        answer = client.get(SKELETON_PATH, params=query, headers=headers)
        _hold(answer.status_code == 200, f"getFeedSkeleton answers {answer.status_code}: {answer.text}")
        page = answer.json()
        posts += [item["post"] for item in page["feed"]]
        cursor = page.get("cursor")
        if cursor is None:
            return posts
        _hold(len(page["feed"]) == PAGE and len(posts) <= 1000, "a page before the last is not full")


def _refusals(demo: Demo, client: httpx.Client, viewer: str) -> Iterator[str]:
    good = {"feed": demo.feed_uri}
    wrong_method = {"Authorization": f"Bearer {demo.token(viewer, INTERACTIONS)}"}
    for what, query, headers, status, error in (
        ("an invalid token", good, {"Authorization": "Bearer rubbish"}, 401, "BadJwt"),
        ("a token for another method", good, wrong_method, 401, "BadJwtLexiconMethod"),
        ("an unknown feed", {"feed": demo.feed_uri + "x"}, {}, 400, "UnknownFeed"),
        ("an invalid cursor", good | {"cursor": "rubbish"}, {}, 400, None),
        ("a limit of 0", good | {"limit": "0"}, {}, 400, "InvalidRequest"),
    ):
        answer = client.get(SKELETON_PATH, params=query, headers=headers)
        named = answer.json().get("error")
        _hold(
            answer.status_code == status and error in {None, named}, f"{what}: {answer.status_code} {named}"
        )
        yield f"{what} is refused with {status} {named}"


def _interaction(demo: Demo, client: httpx.Client, viewer: str) -> str:
    headers = {"Authorization": f"Bearer {demo.token(viewer)}"}
    post = client.get(
        f"/xrpc/{SKELETON}", params={"feed": demo.feed_uri, "limit": 2}, headers=headers
    ).json()["feed"][0]
    body = {
        "feed": demo.feed_uri,
        "interactions": [{"item": post["post"], "event": "app.bsky.feed.defs#requestLess"}],
    }
    headers = {"Authorization": f"Bearer {demo.token(viewer, INTERACTIONS)}"}
    answer = client.post(f"/xrpc/{INTERACTIONS}", json=body, headers=headers)
    _hold(answer.status_code == 200, f"sendInteractions answers {answer.status_code}: {answer.text}")
    deadline = time.monotonic() + 5
    while not _is_stored(demo, viewer, post["post"]):
        _hold(time.monotonic() < deadline, "an interaction is not in activity.sqlite within 5 s")
        time.sleep(0.1)
    return "'show less' is stored in activity.sqlite"


def _is_stored(demo: Demo, viewer: str, post: str) -> bool:
    path = places.activity(demo.data_dir)
    if not path.exists():
        return False
    query = "SELECT 1 FROM interactions WHERE viewer_did = ? AND post_uri = ? AND event = 'requestLess'"
    with closing(connect(path, read_only=True)) as activity:
        return activity.execute(query, (viewer, post)).fetchone() is not None


def _page(client: httpx.Client, viewer: str) -> str:
    answers = [client.get("/viewers", params={"q": viewer}), client.get(f"/viewer/{viewer}")]
    _hold(
        all(answer.status_code == 200 and viewer in answer.text for answer in answers),
        "the pages do not show the viewer",
    )
    return f"the pages show the viewer and their feed ({len(answers[1].content) / 1000:.0f} kB)"


def _store(demo: Demo) -> str:
    stored, until_us = like_records(demo.data_dir, merged=True)
    recorded = set()
    with httpx.stream(
        "GET", f"{demo.network}/simulator/record", params={"until": until_us}, timeout=60
    ) as answer:
        for line in answer.iter_lines():
            row = orjson.loads(line)
            if row["type"] == "like" and row["account"] != "deleted":
                recorded.add(like_record(row["did"], row["rkey"], row["subject"]))
    recorded.discard(None)  # likes of feeds and lists
    missing, extra = len(recorded - set(stored)), len(set(stored) - recorded)
    _hold(
        not missing and not extra,
        f"{missing} likes of the simulator's record are missing, {extra} stored likes are not in it",
    )
    _hold(len(stored) == len(recorded), "a like is stored twice")
    return f"the store holds exactly the {len(stored):,} likes of the simulator's own record"
