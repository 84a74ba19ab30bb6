"""GET /plots: what people like and what lists do, as plots of the analysts' queries.

Owns: which plots there are, and their words. Leaves to others: drawing (``plots``), the figures (the batch runs the
queries), and who may see the page (``clients``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import falcon

from serving.config import ServingConfig
from serving.http.clients import require_local
from serving.pages.html import age_text, show
from serving.pages.plots import (
    SIZE,
    Plot,
    named_bars,
    number_of,
    plot,
    points_of,
    read_figures,
    rows_of,
    times_of,
)

_DAY = 86_400.0


@dataclass(slots=True)
class AnalystPlotsPage:
    """The page; ``now`` gives seconds since 1970."""

    config: ServingConfig
    now: Callable[[], float]

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page."""
        require_local(request, self.config)
        figures = read_figures(self.config.data_dir)
        drawn: list[Plot] = []
        if figures:
            rows = {name: rows_of(figures, name) for name in figures}.get
            by_place = points_of(rows("like_rate_by_position", []), "position", "like_rate")
            by_source, by_age = rows("like_rate_by_source", []), rows("like_rate_by_age", [])
            hours, languages = rows("likes_per_hour", []), rows("languages", [])
            days, repeats = rows("viewers_per_day", []), rows("repeat_rate", [])
            drawn = [
                plot("Likes per hour", times_of(hours, "hour", "likes"), "likes_per_hour", bars=3600.0),
                named_bars("Likes by language of the post, a day", languages, "language", "likes", "languages"),
                plot("Viewers per day", times_of(days, "day", "viewers"), "viewers_per_day", bars=_DAY),
                plot("Posts served per day", times_of(days, "day", "impressions"), "viewers_per_day", bars=_DAY),
                plot("Likes per impression, by place in the list", by_place, "like_rate_by_position", bars=1.0,
                     percent=True, times=False),
                named_bars("Likes per impression, by source", by_source, "source", "like_rate", "like_rate_by_source",
                           percent=True),
                named_bars("Likes per impression, by the post's age", by_age, "age", "like_rate", "like_rate_by_age",
                           percent=True),
                plot("Posts that a viewer was served before", times_of(repeats, "day", "repeat_rate"), "repeat_rate",
                     bars=_DAY, percent=True),
            ]  # fmt: skip
        show(
            response,
            "analyst_plots.html",
            self.config,
            here=True,
            plots=drawn,
            size=SIZE,
            age=age_text(self.now() - number_of(figures.get("written_at"), 0.0)),
        )
