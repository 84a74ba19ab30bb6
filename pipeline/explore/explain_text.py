"""Explanations in words and tables, for people at a terminal.

Owns: those texts. Leaves to others: the numbers (``explain_command``, ``list_reasons``), which rule decided
(``verdict``).
"""

from typing import Any

from pipeline.batch.forecast.learning import AHEAD_HOURS
from pipeline.explore.explanation import Explanation, Row
from pipeline.store.model import utc

SHOWN_POSTS = 30
SHOWN_NEIGHBOURS = 10
SHOWN_SEEDS = 5
LEAST_SHOWN = 0.005  # of a post's similarity
RULES = {
    "seen": "the viewer has seen it, so it stands behind unseen posts",
    "spaced": "moved down: other places lie between two posts of one author",
}


def as_text(explanation: Explanation) -> str:
    """Return the explanation of a post, or of the whole list when it is not about one post."""
    lines = [
        f"viewer      {explanation.viewer}",
        f"generation  {explanation.generation}, from likes up to {utc(explanation.snapshot_us)}; "
        f"{len(explanation.listed)} posts in the list, {len(explanation.scored)} had a score",
        f"neighbours  {explanation.neighbours}, from likes up to {utc(explanation.neighbours_us)}",
    ]
    if explanation.forecast_us:
        lines.append(f"forecast    learned from likes up to {utc(explanation.forecast_us)}")
    if explanation.variant:
        lines.append(f"variant     {explanation.variant}: an experiment's parameters made this list")
    if explanation.post is not None:
        lines += ["", f"post        {explanation.post}"]
        lines += [f"            {reason}" for reason in explanation.verdict]
        lines += _score(explanation)
        lines += _contributors(explanation)
    else:
        lines += _list(explanation)
    return "\n".join(lines + _neighbours(explanation))


def _score(explanation: Explanation) -> list[str]:
    if explanation.popular_score is not None:
        return [
            "",
            f"score       {explanation.popular_score:.6g}, as a popular post: its recent likers, weighted",
        ]
    row = next((row for row in explanation.scored if row["post_uri"] == explanation.post), None)
    if row is None:
        return []
    exponent = explanation.parameters["score_exponent"]
    similar = f"{row['similarity']:.6g} ^ {exponent:g}"
    foreign, reads = "", []
    if row["readable"] != 1:
        foreign = f" × {row['readable']:.6g}"
        reads = [
            f"            language {row['readable']:.6g}: it is in {row['langs']}, the viewer reads {row['reads']}"
        ]
    return [
        "",
        f"score       {row['score']:.6g} = {similar} × {row['decay']:.6g} × {row['popularity']:.6g}{foreign}",
        f"            similarity {row['similarity']:.6g}: the sum of weight × value below, and "
        f"{row['crowd']:.6g} from the crowd{_expected(row)}",
        f"            decay {row['decay']:.6g}: {row['age_hours']:.1f} hours old, halved every "
        f"{explanation.parameters['half_life_hours']:g} hours",
        f"            popularity {row['popularity']:.6g}: {row['likers']} likers ^ "
        f"-{explanation.parameters['popularity_exponent']:g}",
        *reads,
    ]


def _expected(row: Row) -> str:
    """Return what the forecast expected of a post, and from what; nothing where there was no forecast."""
    if not row["expected"]:
        return ""
    return (
        f": {row['expected']:.2%} of the likes of the next {AHEAD_HOURS:g} hours were expected to be its own: it was "
        f"{row['age_hours']:.1f} hours old, had {row['likers']} likers and was last liked "
        f"{row['idle_hours']:.1f} hours before"
    )


def _contributors(explanation: Explanation) -> list[str]:
    if not explanation.contributors:
        return []
    lines = ["", "liked by neighbours           weight   × value     = part   like's age"]
    for row in explanation.contributors:
        lines.append(
            f"  {row['rank']:>3}  {_short(row['neighbour_did']):<22} {row['weight']:<9.4g} {row['value']:<9.4g} "
            f"{row['part']:<9.4g} {row['like_age_hours']:.1f} h"
        )
    return lines


def _list(explanation: Explanation) -> list[str]:
    if not explanation.listed:
        return ["", "no list: the viewer gets popular posts"]
    terms = {row["post_uri"]: row for row in explanation.scored}
    lines = ["", "place  by score  score      similarity  age h  likers  neighbours  post"]
    for item in explanation.listed[:SHOWN_POSTS]:
        row = terms.get(item["post_uri"])
        if row is None:
            cells = f"{item['source']:>8}  {item['score']:<9.4g}  {'':10}  {'':5}  {'':6}  {'':10}"
        else:
            cells = (
                f"{row['rank_before']:>8}  {item['score']:<9.4g}  {row['similarity']:<10.4g}  "
                f"{row['age_hours']:>5.1f}  {row['likers']:>6}  {row['co_likers']:>10}"
            )
        lines.append(f"{item['position']:>5}  {cells}  {item['post_uri']}")
    if len(explanation.listed) > SHOWN_POSTS:
        lines.append(f"       … {len(explanation.listed) - SHOWN_POSTS} more; --json has them all")
    return lines


def _neighbours(explanation: Explanation) -> list[str]:
    """Say how the weights of these neighbours were computed."""
    wanted = {row["neighbour_did"] for row in explanation.contributors}
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in explanation.shared:
        if not wanted or row["neighbour_did"] in wanted:
            grouped.setdefault(row["neighbour_did"], []).append(row)
    lines = []
    for did, seeds in list(grouped.items())[:SHOWN_NEIGHBOURS]:
        first = seeds[0]
        shared = max(sum(row["value"] for row in seeds), 0.0)
        total = shared ** explanation.parameters["overlap_exponent"] * first["scale"]
        lines += [
            "",
            f"neighbour {first['rank']}  {did}: weight {first['weight']:.4g}, from {len(seeds)} shared seeds, "
            f"{first['likes']:,} likes in the window: {shared:.4g} ^ "
            f"{explanation.parameters['overlap_exponent']:g} × {first['scale']:.4g}",
        ]
        if abs(total - first["weight"]) > 1e-5 * max(abs(total), abs(first["weight"])):
            lines.append(f"    likes have changed since; today it would be {total:.4g}")
        lines += [
            f"    {row['value']:<9.4g} {row['likers']:>6} likers  {row['post_uri']}"
            + (", because the viewer picked it" if row["picked"] else "")
            for row in seeds[:SHOWN_SEEDS]
        ]
        if len(seeds) > SHOWN_SEEDS:
            lines.append(f"    … {len(seeds) - SHOWN_SEEDS} more seeds")
    return lines


def _short(did: str) -> str:
    return did if len(did) <= 22 else did[:21] + "…"


def list_as_text(found: Row) -> str:
    """Return a list with its reasons, as ``list_reasons.why`` does, in words."""
    former = found["parameters"]["days_ago"]  # such a list has no reasons
    lines = [
        f"viewer      {found['viewer']}",
        f"generation  {found['generation']}; {found['length']} posts, {found['neighbours']} neighbours",
    ]
    if found["variant"]:
        lines.append(f"variant     {found['variant']}")
    for name, value in found["parameters"].items():
        if value != found["usual"][name]:
            lines.append(f"changed     {name} = {value} instead of {found['usual'][name] or 'all'}")
    for place, post in enumerate(found["posts"], 1):
        was = (
            ""
            if found["public"] or former or post["was"] == place
            else f"  (served at {post['was'] or 'no place'})"
        )
        lines += ["", f"{place:>4}  {post['post_uri']}{was}"]
        if post["source"] != "co-likers":
            lines.append(
                "      popular now" if post["source"] == "popular" else "      tried: few have liked it yet"
            )
        if post.get("recently"):
            recent = post["recently"]
            lines.append(
                f"      {recent['people']} of {recent['of']} neighbours liked it in {recent['hours']} h"
            )
        if post.get("rule") in RULES:
            lines.append(f"      {RULES[post['rule']]}")
        for reason in post.get("because", []):
            lines.append(
                f"      {reason['share']:5.0%}  {reason['did']}, {reason['like_age_hours']:.1f} h ago; "
                f"{reason['shared']} shared likes{_picked(reason)}, such as {', '.join(reason['posts'][:1])}"
            )
        if post.get("because") and post["crowd_share"] >= LEAST_SHOWN:
            soon = post.get("expected")
            what = f"expected to get {soon:.2%} of the next hours' likes" if soon else "what is popular now"
            lines.append(f"      {post['crowd_share']:5.0%}  {what}")
    return "\n".join(lines)


def _picked(reason: Row) -> str:
    """Say that the viewer picked posts that a neighbour liked."""
    return f", {reason['picked']} of them because the viewer picked the post" if reason["picked"] else ""
