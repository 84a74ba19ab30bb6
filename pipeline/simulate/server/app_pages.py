"""What the app would show: a post or a person of the simulated network, as a plain page.

Owns: those pages, so that the feed's links lead somewhere in a demonstration. Leaves to others: what is known of posts
and people (``appview``), HTTP (``http_pages``).

    GET /profile/DID, /profile/DID/post/RKEY, /profile/DID/feed/RKEY, /hashtag/TAG
"""

from html import escape
from typing import Any

from pipeline.simulate.server.appview import AppView

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title} · the simulated app</title></head>
<body><main><p><small>The simulated app: a stand-in for Bluesky's.</small></p>{body}</main></body></html>
"""


def app_page(appview: AppView, path: str, now_us: int, origin: str) -> str | None:
    """Return the page of a path, None when nothing is there."""
    parts = path.strip("/").split("/")
    if parts[0] == "hashtag" and len(parts) == 2:
        return _page(
            f"#{parts[1]}", [f"<h1>#{escape(parts[1])}</h1>", "<p>Posts with this tag would stand here.</p>"]
        )
    if parts[0] != "profile" or len(parts) not in {2, 4}:
        return None
    if len(parts) == 4 and parts[2] == "feed":
        return _page(
            parts[3], [f"<h1>{escape(parts[3])}</h1>", "<p>Here one would pin or save the feed.</p>"]
        )
    if len(parts) == 4 and parts[2] == "post":
        uri = f"at://{parts[1]}/app.bsky.feed.post/{parts[3]}"
        posts = appview.posts([uri], now_us, origin)["posts"]
        return _page("A post", _post(posts[0])) if posts else None
    if len(parts) != 2:
        return None
    people = appview.profiles([parts[1]], now_us, origin)["profiles"]
    return _page(people[0]["displayName"], _person(people[0])) if people else None


def _page(title: str, body: list[str]) -> str:
    return _PAGE.format(title=escape(title), body="".join(body))


def _person(person: dict[str, Any]) -> list[str]:
    return [
        f'<p><img src="{escape(person["avatar"])}" alt="" width="48" height="48"></p>',
        f"<h1>{escape(person['displayName'])}</h1><p>@{escape(person['handle'])}</p>",
        f"<p>{escape(person.get('description', ''))}</p>",
    ]


def _post(post: dict[str, Any]) -> list[str]:
    images = post.get("embed", {}).get("images", [])
    return [
        *_person(post["author"]),
        f"<p>{escape(post['record']['text'])}</p>",
        *(
            f'<p><img src="{escape(image["thumb"])}" alt="{escape(image["alt"])}" width="320"></p>'
            for image in images
        ),
        f"<p>{post.get('likeCount', 0)} likes, {post['replyCount']} replies</p>",
    ]
