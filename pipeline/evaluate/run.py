"""An evaluation from likes to report: tune on the earlier moments, then rank and measure at the later ones.

Owns: the order of work and the progress lines. Leaves to others: everything that it calls. Moments are handled one
after another, and the methods one after another at each moment. Only what a method's lists were worth is kept, so
memory is bounded by the history, the viewers of one moment and the matrices of one method.
"""

import resource
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.evaluate.intervals import summarise, viewers_by_class
from pipeline.evaluate.like_events import LikeEvents
from pipeline.evaluate.measures import Measured, measure
from pipeline.evaluate.methods.registry import METHODS, REFERENCE, Method
from pipeline.evaluate.report import Report
from pipeline.evaluate.splits import REPORTED, TUNING, rolling
from pipeline.evaluate.tuning import MOST_TRIALS, Trial, tune


def evaluate(
    events: LikeEvents,
    methods: Sequence[Method],
    *,
    windows: int,
    window_hours: float,
    seed: int,
    sample: int | None = None,
    tuning_sample: int | None = None,
    most_trials: int = MOST_TRIALS,
    variants: Sequence[Method] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Return the report of all methods, and of variants of the tuned reference.

    Raises EvaluateError when the likes span too short a time.
    """
    earlier = list(rolling(events, windows, window_hours, TUNING, tuning_sample, seed)) if most_trials else []
    say(f"{len(earlier)} moments to tune on")
    trials: list[Trial] = []
    parameters: dict[str, dict[str, Any]] = {}
    # The popular items come first: they fill the short lists of every other method.
    popular_hours = float(METHODS["popular"].start["hours"])
    for method in sorted(methods, key=lambda method: method.name != "popular"):
        before = len(trials)
        started = time.monotonic()

        def report_trial(trial: Trial) -> None:
            trials.append(trial)
            if time.monotonic() - started > 2 and len(trials) % 5 == 0:  # noqa: B023
                say(f"  {trial.method}: {len(trials)} trials, recall {trial.recall:.4f}")

        parameters[method.name] = tune(method, earlier, popular_hours, report_trial, most_trials)
        if method.name == "popular":
            popular_hours = float(parameters["popular"]["hours"])
        say(f"{method.name}: {len(trials) - before} trials in {time.monotonic() - started:.1f} s")
    tuned_at = [_utc(split.at_us) for split in earlier]
    earlier.clear()
    for variant in variants:
        parameters[variant.name] = {**parameters[REFERENCE], **variant.start}
    methods = [*methods, *variants]
    results: dict[str, list[Measured]] = {method.name: [] for method in methods}
    seconds = dict.fromkeys(results, 0.0)
    reported_at = []
    for split in rolling(events, windows, window_hours, REPORTED, sample, seed):
        reported_at.append(_utc(split.at_us))
        for method in methods:
            started = time.monotonic()
            lists = method.lists(split, parameters[method.name], popular_hours)
            took = time.monotonic() - started
            seconds[method.name] += took
            found = measure(split, lists, seed)
            results[method.name].append(found)
            recall = found.values[:, 0].mean()
            say(
                f"{reported_at[-1]} {method.name}: {len(lists):,} lists in {took:.1f} s, recall@30 {recall:.4f}"
            )
    viewers, viewer_moments = viewers_by_class(results[REFERENCE])
    return Report(
        name=events.name,
        likes=len(events.users),
        users=events.user_count,
        items=events.item_count,
        window_hours=window_hours,
        seed=seed,
        sample=sample,
        reference=REFERENCE,
        tuning_moments=tuned_at,
        moments=reported_at,
        viewers=viewers,
        viewer_moments=viewer_moments,
        parameters=parameters,
        seconds=seconds,
        about={method.name: method.about for method in methods},
        summary=summarise(results, REFERENCE, seed),
        trials=trials,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _utc(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M")
