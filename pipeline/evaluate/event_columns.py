"""Which columns of a file say who liked what, when and how much, by the names that data sets usually give them.

Owns: those names, ``find_columns``. Leaves to others: what a column of times means (``event_times``), reading the file
(``event_files``).
"""

import re
from collections.abc import Mapping, Sequence

from pipeline.evaluate.like_events import EvaluateError

# Names without capitals, spaces and punctuation; where a file has several of a row, the first counts.
USUAL = {
    "user": (
        "user", "userid", "uid", "username", "viewer", "viewerid", "viewerdid", "liker", "likerdid", "actor",
        "actordid", "actorid", "visitor", "visitorid", "reviewer", "reviewerid", "customer", "customerid", "member",
        "memberid", "account", "accountid", "person", "personid", "listener", "listenerid", "reader", "readerid", "did",
        "session", "sessionid",
    ),
    "item": (
        "item", "itemid", "iid", "post", "postid", "posturi", "uri", "movie", "movieid", "film", "filmid", "news",
        "newsid", "article", "articleid", "product", "productid", "parentasin", "asin", "track", "trackid", "song",
        "songid", "artist", "artistid", "book", "bookid", "isbn", "video", "videoid", "game", "gameid", "business",
        "businessid", "sku", "content", "contentid", "doc", "docid", "document", "documentid", "subject", "url",
        "clickarticleid", "aid", "impressions",
    ),
    "time": (
        "timestamp", "time", "ts", "tsms", "tsus", "tss", "tsns", "timems", "timeus", "times", "timens", "timestampms",
        "timestampus", "timestamps", "seenat", "seenus", "unixreviewtime", "unixtimestamp", "unixtime", "sorttimestamp",
        "clicktimestamp", "eventtime", "eventtimestamp", "datetime", "createdat", "createdatms", "created", "likedat",
        "clickedat", "reviewtime", "ratedat", "updatedat", "date", "day",
    ),
    "rating": ("rating", "ratings", "score", "stars", "overall", "label", "clicked", "click", "liked", "preference"),
}  # fmt: skip
ROLES = ("user", "item", "time")


def plain(name: str) -> str:
    """Return a name as USUAL has it: userId, USER_ID and ``user_id:token`` (as RecBole types columns) are userid."""
    return re.sub(r"[^a-z0-9]", "", name.split(":")[0].lower())


def is_header(names: Sequence[str]) -> bool:
    """Tell whether a file's first line names columns: at least one that is usual."""
    usual = {known for names_of_role in USUAL.values() for known in names_of_role}
    return any(plain(name) in usual for name in names)


def find_columns(names: Sequence[str], stated: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the columns of user, item and time, and of rating where there is one.

    ``stated``: columns by role, from the command line. Raises EvaluateError for a column that is missing.
    """
    found = {}
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(plain(name), name)
    for role, usual in USUAL.items():
        if role in stated:
            if stated[role] not in names:
                raise EvaluateError(
                    f"{where} has no column {stated[role]!r}; its columns are {listed(names)}"
                )
            found[role] = stated[role]
            continue
        likely = next((by_plain[known] for known in usual if known in by_plain), None)
        if likely is not None and likely not in stated.values():
            found[role] = likely
    missing = [role for role in ROLES if role not in found]
    if missing:
        usual_names = "; ".join(f"{role}: {', '.join(USUAL[role][:6])} …" for role in missing)
        example = ",".join(f"{role}=NAME" for role in missing)
        raise EvaluateError(
            f"{where} has no column with a usual name for {' and '.join(missing)} ({usual_names}); its columns are "
            f"{listed(names)}; say which it is: --columns {example}"
        )
    return found


def stated_columns(text: str | None) -> dict[str, str]:
    """Return the columns that a text ``user=NAME,item=NAME`` states; EvaluateError when it is malformed."""
    found = {}
    for pair in [] if text is None else text.split(","):
        role, equals, name = (part.strip() for part in pair.partition("="))
        if role not in USUAL or not equals or not name:
            raise EvaluateError(
                f"--columns {pair.strip()}: expected ROLE=NAME, ROLE one of {', '.join(USUAL)}"
            )
        found[role] = name
    return found


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names as one text, not longer than a terminal bears."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
