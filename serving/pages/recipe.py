"""The recipe: which parameters of the ranking people may move on a page or make their own, in plain words.

Owns: those parameters, their words, ranges and positions, and reading them from an address. Leaves to others: what they
do to a list (``explainer``), the sliders' look (``templates``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import falcon

from serving.http.xrpc import parameter

_LANGUAGE = re.compile("[a-z]{2,3}|")
_NUMBER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)


class RecipeError(Exception):
    """A parameter can't be read; the text says which."""


class Choice(NamedTuple):
    """Something that people may choose: its words, and the texts of its values."""

    name: str
    label: str
    hint: str
    options: tuple[tuple[str, str], ...]


class Control(NamedTuple):
    """A parameter that people may move: its words, and the range of its slider."""

    name: str
    label: str
    hint: str
    low: str
    high: str
    least: float
    most: float
    step: float


RECIPE = (
    Control("half_life_hours", "Age", "hours until a post counts half", "fresher", "deeper", 1, 480, 1),
    Control("like_decay_hours", "Momentum", "hours until a like counts half", "right now", "all day", 0.1, 24, 0.1),
    Control("popularity_exponent", "Fame", "how much a post's likes hold it back", "popular", "niche", 0, 1.5, 0.05),
    Control("crowd_weight", "Everybody", "weight of what is popular now", "off", "strong", 0, 5, 0.1),
    Control("left_out_weight", "Distant tastes", "people who share little with this one", "off", "strong", 0, 5, 0.1),
    Control("max_neighbours", "Neighbours", "people whose likes count, the closest first", "few", "many", 1, 300, 1),
    Control("max_per_author", "One author", "posts of an author at most", "once", "often", 1, 10, 1),
    Control("author_spacing", "Distance", "places between two posts of an author", "close", "far", 0, 20, 1),
)  # fmt: skip


CHOICES = (
    Choice("media", "Media", "what a post must have", (
        ("0", "anything"), ("8", "pictures"), ("16", "a video"), ("32", "a link"), ("64", "a quote"),
    )),
    Choice("language", "Language", "what a post must be written in", (
        ("", "any"), ("en", "English"), ("ja", "Japanese"), ("pt", "Portuguese"), ("es", "Spanish"), ("de", "German"),
        ("fr", "French"), ("ko", "Korean"), ("it", "Italian"), ("nl", "Dutch"), ("tr", "Turkish"), ("uk", "Ukrainian"),
        ("pl", "Polish"), ("zh", "Chinese"), ("th", "Thai"), ("ru", "Russian"),
    )),
)  # fmt: skip
DAY = Choice("days_ago", "List of", "as it was first made that day, whatever the sliders say", (
    ("", "now"), ("0", "today, first"), ("1", "yesterday"), *((str(days), f"{days} days ago") for days in range(2, 8)),
))  # fmt: skip


# What readers may make their own (pipeline.ranking.OWN_PARAMETERS), at a few positions each: the batch keeps one scale
# of all posts for each pair of the first two that is in use.
AS_USUAL = ("", "as usual")
OWN_CHOICES = (
    Choice("half_life_hours", "Posts should be", "how soon a post counts half", (
        AS_USUAL, ("3", "of the last hours"), ("12", "of half a day"), ("24", "of a day"), ("72", "of three days"),
        ("2400", "good, however old"),
    )),
    Choice("popularity_exponent", "Famous posts", "how much a post's likes hold it back", (
        AS_USUAL, ("0", "as they come"), ("0.2", "somewhat fewer"), ("0.5", "fewer"), ("1", "hardly any"),
    )),
    Choice("crowd_weight", "What is popular now", "beside what people with my taste like", (
        AS_USUAL, ("0", "none of it"), ("0.3", "a little"), ("1", "some"), ("3", "much"),
    )),
    Choice("left_out_weight", "What people like who share little with me", "", (
        AS_USUAL, ("0", "none of it"), ("0.3", "a little"), ("1", "some"), ("3", "much"),
    )),
    Choice("max_neighbours", "Whose likes count", "those who share most with me come first", (
        AS_USUAL, ("10", "the closest 10 people"), ("30", "the closest 30"), ("100", "the closest 100"),
        ("300", "the closest 300"),
    )),
    Choice("max_per_author", "Posts of one author", "in a whole list", (
        AS_USUAL, ("1", "one"), ("2", "two at most"), ("3", "three at most"), ("5", "five at most"),
        ("10", "ten at most"),
    )),
    Choice("author_spacing", "Between two posts of one author", "", (
        AS_USUAL, ("0", "nothing"), ("3", "three others"), ("10", "ten others"), ("20", "twenty others"),
    )),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Menu:
    """A choice with its value in force and its usual one, both among its options."""

    choice: Choice
    value: str
    usual: str


@dataclass(frozen=True, slots=True)
class Slider:
    """A control with its value in force and its usual one, both in its range; ``step`` is the input's."""

    control: Control
    step: str
    value: float
    usual: float


def read_recipe(request: falcon.Request, prefix: str = "") -> dict[str, float | str]:
    """Return the parameters that a request gives; raise RecipeError for one that is no number, or no language."""
    found: dict[str, float | str] = {}
    language = (parameter(request, prefix + "language") or "").strip()
    if _LANGUAGE.fullmatch(language) is None:
        raise RecipeError("language must be two or three letters")
    if language:
        found["language"] = language
    media = next(choice for choice in CHOICES if choice.name == "media")
    for control in (*RECIPE, media):
        text = (parameter(request, prefix + control.name) or "").strip()
        if text:
            if _NUMBER.fullmatch(text) is None:
                raise RecipeError(f"{control.name} must be a number")
            found[control.name] = float(text)
    return found


def read_own(texts: Mapping[str, str]) -> dict[str, float]:
    """Return the parameters that a form makes its reader's own; what is none of the positions is as usual."""
    found: dict[str, float] = {}
    for choice in OWN_CHOICES:
        text = texts.get(choice.name, "")
        if text and text in dict(choice.options):
            found[choice.name] = float(text) if "." in text else int(text)
    return found


def read_day(request: falcon.Request, prefix: str) -> dict[str, str]:
    """Return from how many days ago a list is wanted, {} for the list of now; raise RecipeError for other texts."""
    value = (parameter(request, prefix + DAY.name) or "").strip()
    if value not in dict(DAY.options):
        raise RecipeError("days_ago must be a number from 0 to 7")
    return {DAY.name: value} if value else {}


def menus_of(
    values: Mapping[str, Any], usual: Mapping[str, Any], choices: Sequence[Choice] = CHOICES
) -> list[Menu]:
    """Return the menus; a value that is none of the options becomes one."""
    found = []
    for choice in choices:
        value, normal = (
            each if isinstance(each, str) else f"{each:g}"
            for each in (values[choice.name], usual[choice.name])
        )
        known = dict(choice.options)
        more = tuple((each, each) for each in dict.fromkeys((value, normal)) if each not in known)
        found.append(Menu(choice._replace(options=choice.options + more), value, normal))
    return found


def sliders_of(values: Mapping[str, Any], usual: Mapping[str, Any]) -> list[Slider]:
    """Return the sliders; a range grows so that it has both values, and no slider changes what it is given."""
    found = []
    for control in RECIPE:
        value, normal = values[control.name], usual[control.name]
        least = min(control.least, value, normal)
        most = max(normal, value) if control.name == "max_neighbours" else max(control.most, value, normal)
        # An input takes only whole steps from its least value.
        fits = all(
            abs((each - least) / control.step - round((each - least) / control.step)) < 1e-6
            for each in (value, normal)
        )
        step = f"{control.step:g}" if fits else "any"
        found.append(Slider(control._replace(least=least, most=most), step, value, normal))
    return found
