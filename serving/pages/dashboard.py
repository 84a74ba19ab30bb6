"""GET /dashboard: the operator's page: whether all is well, how things stand, the last runs, and two plots.

Owns: what is on it. Leaves to others: the state (``operator_state``), drawing (``plots``), and who may see the page
(``clients``). Plots for analysts are on a page of their own (``analyst_plots``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import falcon

from serving.config import ServingConfig
from serving.http.clients import require_local
from serving.pages.html import age_text, show
from serving.pages.operator_state import OperatorState
from serving.pages.plots import SIZE, Plot, number_of, plot, read_figures, rows_of, times_of


@dataclass(slots=True)
class DashboardPage:
    """The page; ``now`` gives seconds since 1970."""

    config: ServingConfig
    state: OperatorState
    now: Callable[[], float]

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page."""
        require_local(request, self.config)
        state, runs = self.state.figures(), self.state.runs()
        wrong = [f"{figure.name}: {figure.value}" for figure in state if figure.wrong]
        wrong += [f"the last run of {run.job}: {run.problem}" for run in runs if run.problem]
        figures = read_figures(self.config.data_dir)
        drawn: list[Plot] = []
        if figures:
            history = rows_of(figures, "history")
            shares = times_of(history, "at", "list_share")
            drawn = [
                plot("Stream lag, seconds", times_of(history, "at", "lag_seconds")),
                plot("Share of the day's likers with a list", shares, "coverage", top=1.0, percent=True),
            ]
        show(
            response,
            "dashboard.html",
            self.config,
            here=True,
            state=state,
            runs=runs,
            wrong=wrong,
            plots=drawn,
            size=SIZE,
            age=age_text(self.now() - number_of(figures.get("written_at"), 0.0)),
        )
