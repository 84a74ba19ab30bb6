"""Which rule put a post where it is in a viewer's list, or kept it out, in words.

Owns: going through the rules in the order of the batch. Leaves to others: the numbers (``explain_command``), the rules
themselves (``sql/batch``, ``batch.lists.arrange``).
"""

from typing import Any

from pipeline.explore.explanation import Explanation

_STATUSES = ("active", "deactivated", "taken down", "suspended", "deleted", "not active")


def verdict(explanation: Explanation) -> list[str]:
    """Return what happened to the post: the outcome, then the reasons."""
    listed = next((item for item in explanation.listed if item["post_uri"] == explanation.post), None)
    scored = next((item for item in explanation.scored if item["post_uri"] == explanation.post), None)
    if listed is not None and listed["source"] == "popular":
        return _popular(listed, scored)
    if listed is not None and listed["source"] == "trial":
        return [
            f"in the list at place {listed['position']} of {len(explanation.listed)}, to be tried",
            "few have liked it yet; it was drawn from further back in the viewer's own list, by chance and its score",
        ]
    if listed is not None:
        return [f"in the list at place {listed['position']} of {len(explanation.listed)}",
                *_moves(explanation, listed, scored)]  # fmt: skip
    return ["not in the list", *_absence(explanation, scored)]


def _popular(listed: dict[str, Any], scored: dict[str, Any] | None) -> list[str]:
    place = f"in the list at place {listed['position']}, as a popular post"
    if scored is not None and scored["position"] is not None:
        return [
            place,
            f"place {scored['rank_before']} by score; no neighbour liked it, only the crowd brings it here",
        ]
    return [
        place,
        "the list was too short, so popular posts fill it; neighbours' likes do not count here",
    ]


def _moves(explanation: Explanation, listed: dict[str, Any], scored: dict[str, Any] | None) -> list[str]:
    facts = explanation.facts or {}
    if scored is None or scored["position"] is None:
        return ["the store has changed since the list was made: the post no longer has such a score"]
    reasons = [f"place {scored['rank_before']} by score among {len(explanation.scored)} scored posts"]
    if scored["position"] != scored["rank_before"]:
        reasons.append(f"place {scored['position']} after the cap per author")
    if facts.get("seen"):
        reasons.append("already seen, so it comes after the unseen posts")
    elif listed["position"] > scored["position"]:
        spacing = int(explanation.parameters["author_spacing"])
        reasons.append(f"moved back: {spacing} places must lie between two posts of one author")
    elif listed["position"] < scored["position"]:
        reasons.append(
            "moved forward: posts before it were already seen, or too close to another of their author"
        )
    return reasons


def _absence(explanation: Explanation, scored: dict[str, Any] | None) -> list[str]:
    facts, parameters = explanation.facts or {}, explanation.parameters
    if explanation.neighbours == 0:
        return ["the viewer has no neighbours, hence no list, and gets popular posts"]
    if scored is None:
        return _no_score(facts, parameters)
    if scored["author_place"] > parameters["max_per_author"]:
        return [
            f"place {scored['rank_before']} by score, but {int(parameters['max_per_author'])} better posts of "
            "its author are in the list: the cap per author removed it"
        ]
    if scored["position"] is None:
        last = next((row for row in reversed(explanation.scored) if row["position"] is not None), None)
        bound = f" (the last post in it has {last['score']:.6g})" if last else ""
        return [
            f"place {scored['rank_before']} by score {scored['score']:.6g}: beyond the list's "
            f"{int(parameters['list_length'])} posts{bound}"
        ]
    return [
        "it has a place by score, but the list had no place left far enough from its author's other posts"
    ]


def _no_score(facts: dict[str, Any], parameters: dict[str, float]) -> list[str]:
    window, oldest = parameters["candidate_window_hours"], parameters["post_max_age_hours"]
    reasons = [
        (facts["status"] != 0, f"its author's account is {_STATUSES[min(facts['status'], 5)]}"),
        (facts["deleted"], "the post was deleted"),
        (facts["own"], "it is the viewer's own post"),
        (facts["liked"], "the viewer has already liked it"),
        (facts["show_less"], "the viewer answered it with 'show less'"),
        (facts["picked"], "the viewer picked it to begin with, so it brings others"),
        (facts["reply"], "it is a reply: only top-level posts are candidates"),
        (facts["adult"], "it has a label of adult content"),
        (facts["hidden"], "it has the label !hide or !no-promote"),
        (facts["withheld"], "a labeler labelled it or its author, or its author's profile says so"),
        (facts["blocked"], "the operator blocks it, its author, or something in its text (foryou block)"),
        (facts["known"] and bool(parameters.get("media")) and not facts["flags"] & int(parameters["media"]),
         "it has none of the media that this feed shows"),
        (facts["age_hours"] is not None and facts["age_hours"] >= oldest,
         f"it is {facts['age_hours'] or 0:.0f} hours old: posts of {oldest:g} hours or more are not candidates"),
        (not facts["known"] and not facts["deleted"],
         f"the store does not know the post: it came before the stream, or is older than {oldest:g} hours"),
        (facts["liked_hours_ago"] is None, "nobody has liked it lately"),
        ((facts["liked_hours_ago"] or 0) >= window,
         f"its last like is {facts['liked_hours_ago'] or 0:.0f} hours ago: only likes of the last {window:g} "
         "hours make a candidate"),
        (facts["candidate"] and not facts["excluded"],
         f"it may be in lists, but none of the viewer's neighbours liked it in the last {window:g} hours"),
        (facts["excluded"], "it is excluded for this viewer"),
    ]  # fmt: skip
    found = [text for holds, text in reasons if holds]
    return found[:1] if found else ["no rule keeps it out: the store has changed since"]
