"""A post and a person as the AppView describes them, in the form that pages show.

Owns: which parts of an answer are shown, and how a text is cut at its facets. Leaves to others: asking (``appview``),
the look (``templates``).

Everything in an answer was written by strangers. What is not of the expected type is left out, links lead to http and
https alone, and a picture is shown only when it comes from one of the operator's image hosts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

_PICTURES_MOST = 4
_TEXT_MOST = 3_000
_NAME_MOST = 64
WARNINGS = {
    "porn": "adult content",
    "sexual": "suggestive content",
    "nudity": "nudity",
    "sexual-figurative": "suggestive content",
    "graphic-media": "graphic media",
    "gore": "graphic media",
    "!warn": "a warning by its author or a moderator",
}
HIDING = {"!hide", "!takedown", "!no-unauthenticated"}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a DID; the other fields are "" where nothing is known."""

    did: str
    handle: str = ""
    name: str = ""
    avatar: str = ""
    about: str = ""

    @property
    def called(self) -> str:
        """What pages call the person: the name, else the handle, else a shortened DID."""
        return self.name or (f"@{self.handle}" if self.handle else self.did[:18] + "…")


class Outside(NamedTuple):
    """Where pages may lead to: the app that shows posts and people, and the hosts that pictures may come from."""

    app_url: str
    image_hosts: Sequence[str] = ()


class Stretch(NamedTuple):
    """A stretch of a text, with an address when it is a link."""

    text: str
    address: str = ""


class Picture(NamedTuple):
    """A picture and what it shows; ``shape`` is width divided by height, 0 when it is not known."""

    address: str
    alt: str
    shape: float = 0.0


class LinkCard(NamedTuple):
    """A page that a post leads to."""

    address: str
    host: str
    title: str
    description: str
    picture: Picture | None


@dataclass(frozen=True, slots=True)
class PostCard:
    """A post. ``warning`` says what its pictures and text may contain, "" for nothing."""

    uri: str
    author: Person
    created: float  # seconds since 1970, 0 when not known
    segments: tuple[Stretch, ...]
    language: str = ""
    pictures: tuple[Picture, ...] = ()
    video: Picture | None = None
    has_media: bool = False  # also where no picture may be shown
    link: LinkCard | None = None
    quoted: "PostCard | None" = None
    reply: bool = False
    warning: str = ""
    likes: int | None = None
    reposts: int | None = None
    replies: int | None = None

    @property
    def text(self) -> str:
        """The text alone."""
        return "".join(segment.text for segment in self.segments)


def person_of(view: Any, outside: Outside) -> Person | None:
    """Return a person, None when the view has no DID."""
    if not isinstance(view, dict) or not isinstance(view.get("did"), str):
        return None
    handle = _text(view, "handle", 253)
    return Person(
        view["did"],
        "" if handle == "handle.invalid" else handle,
        _text(view, "displayName", _NAME_MOST).strip(),
        _image(view.get("avatar"), outside),
        _text(view, "description", 300).strip(),
    )


def post_card(view: Any, outside: Outside) -> PostCard | None:
    """Return a post, None when it can't be shown or its author shows it to signed-in people alone."""
    if not isinstance(view, dict) or not isinstance(view.get("uri"), str):
        return None
    author, record = person_of(view.get("author"), outside), view.get("record", view.get("value"))
    if author is None or not isinstance(record, dict):
        return None
    labels = _labels(view) | _labels(view["author"])
    if labels & HIDING:
        return None
    embed = view.get("embed")
    if embed is None and isinstance(view.get("embeds"), list) and view["embeds"]:
        embed = view["embeds"][0]
    languages = record.get("langs")
    language = languages[0] if isinstance(languages, list) and languages else ""
    return PostCard(
        view["uri"],
        author,
        _seconds(record.get("createdAt")),
        segments_of(_text(record, "text", _TEXT_MOST), record.get("facets"), outside.app_url),
        language if isinstance(language, str) and len(language) <= 20 else "",
        reply="reply" in record,
        warning=next((WARNINGS[label] for label in sorted(labels) if label in WARNINGS), ""),
        likes=_count(view, "likeCount"),
        reposts=_count(view, "repostCount"),
        replies=_count(view, "replyCount"),
        **_embedded(embed, outside),
    )


def segments_of(text: str, facets: Any, app_url: str) -> tuple[Stretch, ...]:
    """Return a text cut at its facets; they count bytes of UTF-8. Those that are odd or overlap are left out."""
    whole = text.encode("utf-8", "replace")
    found, at = [], 0
    for start, end, address in sorted(_links(facets, app_url)):
        if not at <= start < end <= len(whole):
            continue
        try:
            before, shown = whole[at:start].decode(), whole[start:end].decode()
        except UnicodeDecodeError:  # it cuts a character in two
            continue
        if before:
            found.append(Stretch(before))
        found.append(Stretch(shown, address))
        at = end
    rest = whole[at:].decode("utf-8", "replace")
    return (*found, Stretch(rest)) if rest else tuple(found)


def _links(facets: Any, app_url: str) -> list[tuple[int, int, str]]:
    found = []
    for facet in facets[:100] if isinstance(facets, list) else []:
        index = facet.get("index") if isinstance(facet, dict) else None
        features = facet.get("features") if isinstance(facet, dict) else None
        if not isinstance(index, dict) or not isinstance(features, list):
            continue
        start, end = index.get("byteStart"), index.get("byteEnd")
        address = next((link for each in features[:5] if (link := _address(each, app_url))), "")
        if type(start) is int and type(end) is int and address:
            found.append((start, end, address))
    return found


def _address(feature: Any, app_url: str) -> str:
    if not isinstance(feature, dict):
        return ""
    if isinstance(feature.get("uri"), str):
        return feature["uri"] if _is_web(feature["uri"]) else ""
    if isinstance(feature.get("did"), str):
        return f"{app_url}/profile/{quote(feature['did'], safe=':')}"
    if isinstance(feature.get("tag"), str):
        return f"{app_url}/hashtag/{quote(feature['tag'], safe='')}"
    return ""


def _embedded(embed: Any, outside: Outside) -> dict[str, Any]:
    """Return the parts of a card that come from an embed's view."""
    kind = embed.get("$type") if isinstance(embed, dict) else None
    if not isinstance(kind, str):
        return {}
    name = kind.removeprefix("app.bsky.embed.").partition("#")[0]
    if name == "images" and isinstance(embed.get("images"), list):
        pictures = (_picture(image, "thumb", outside) for image in embed["images"][:_PICTURES_MOST])
        return {"pictures": tuple(each for each in pictures if each is not None), "has_media": True}
    if name == "video":
        return {"video": _picture(embed, "thumbnail", outside), "has_media": True}
    if name == "external" and isinstance(embed.get("external"), dict):
        return {"link": _link_card(embed["external"], outside)}
    if name == "record":
        return {"quoted": _quoted(embed.get("record"), outside)}
    if name == "recordWithMedia" and isinstance(embed.get("record"), dict):
        media = embed.get("media")
        parts = _embedded(media, outside) if _is_plain(media) else {}
        return {**parts, "quoted": _quoted(embed["record"].get("record"), outside)}
    return {}


def _quoted(view: Any, outside: Outside) -> PostCard | None:
    if not isinstance(view, dict) or view.get("$type") != "app.bsky.embed.record#viewRecord":
        return None
    embeds = view.get("embeds")
    plain = [each for each in embeds if _is_plain(each)] if isinstance(embeds, list) else []
    flat = view | {"embed": None, "embeds": plain[:1]}
    return post_card(flat, outside)


def _is_plain(embed: Any) -> bool:
    """Tell whether an embed holds no record: quotes of quotes end here."""
    return isinstance(embed, dict) and "record" not in embed


def _link_card(external: dict[str, Any], outside: Outside) -> LinkCard | None:
    address = _text(external, "uri", 2_000)
    if not _is_web(address):
        return None
    host = (urlsplit(address).hostname or "").removeprefix("www.")
    title, description = _text(external, "title", 300), _text(external, "description", 300)
    return LinkCard(address, host, title or host, description, _picture(external, "thumb", outside))


def _picture(view: Any, name: str, outside: Outside) -> Picture | None:
    address = _image(view.get(name), outside) if isinstance(view, dict) else ""
    if not address:
        return None
    ratio = view.get("aspectRatio")
    sides = [ratio.get(side) for side in ("width", "height")] if isinstance(ratio, dict) else []
    whole = [side for side in sides if isinstance(side, int) and 0 < side < 100_000]
    return Picture(
        address, _text(view, "alt", 1_000), round(whole[0] / whole[1], 3) if len(whole) == 2 else 0.0
    )


def _image(address: Any, outside: Outside) -> str:
    if not isinstance(address, str) or not address.isascii() or len(address) > 2_000:
        return ""
    return address if any(address.startswith(f"{host}/") for host in outside.image_hosts) else ""


def _is_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and address.isprintable()
    except ValueError:
        return False


def _labels(view: Any) -> set[str]:
    labels = view.get("labels") if isinstance(view, dict) else None
    found = labels[:50] if isinstance(labels, list) else []
    names = (label.get("val") for label in found if isinstance(label, dict) and not label.get("neg"))
    return {name for name in names if isinstance(name, str)}


def _text(view: dict[str, Any], name: str, most: int) -> str:
    value = view.get(name)
    return value[:most] if isinstance(value, str) else ""


def _count(view: dict[str, Any], name: str) -> int | None:
    value = view.get(name)
    return value if type(value) is int and value >= 0 else None


def _seconds(text: Any) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
