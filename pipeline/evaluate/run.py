"""An evaluation from likes to report: tune on the earlier moments, rank and measure at the later ones.

Owns: the order of work, progress lines. Leaves to others: everything it calls. Moments come one after
another, and at each the methods; what is kept of a method's lists is what they were worth. So memory is
bounded by the history, the viewers of one moment and one method's matrices.
"""

import resource
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.evaluate.intervals import summarise, viewers_by_class
from pipeline.evaluate.like_events import Events
from pipeline.evaluate.measures import Measured, measure
from pipeline.evaluate.methods.registry import METHODS, REFERENCE, Method
from pipeline.evaluate.report_table import Report
from pipeline.evaluate.splits import REPORTED, TUNING, one_by_one
from pipeline.evaluate.tuning import MOST_TRIALS, Trial, tune

Say = Callable[[str], None]


def evaluate(
    events: Events,
    methods: Sequence[Method],
    *,
    windows: int,
    window_hours: float,
    seed: int,
    sample: int | None = None,
    tuning_sample: int | None = None,
    trials_most: int = MOST_TRIALS,
    variants: Sequence[Method] = (),
    say: Say = lambda line: None,
) -> Report:
    """Return the report of all methods, and of variants of the tuned reference; EvaluateError for too short a time."""
    earlier = []
    if trials_most:
        earlier = list(one_by_one(events, windows, window_hours, TUNING, tuning_sample, seed))
    say(f"{events.name}: {len(earlier)} moments to tune on")
    trials: list[Trial] = []
    parameters: dict[str, dict[str, Any]] = {}
    # First the fallback, which every other method's short lists need.
    popular_hours = float(METHODS["popular"].start["hours"])
    for method in sorted(methods, key=lambda method: method.name != "popular"):
        before = len(trials)
        started = time.monotonic()

        def tried(trial: Trial) -> None:
            trials.append(trial)
            if time.monotonic() - started > 2 and len(trials) % 5 == 0:  # noqa: B023
                say(f"  {trial.method}: {len(trials)} trials, recall {trial.recall:.4f}")

        parameters[method.name] = tune(method, earlier, popular_hours, tried, trials_most)
        if method.name == "popular":
            popular_hours = float(parameters["popular"]["hours"])
        say(f"{method.name}: {len(trials) - before} trials in {time.monotonic() - started:.1f} s")
    tuned_at = [_utc(split.at_us) for split in earlier]
    earlier.clear()
    for variant in variants:  # of our ranking as it was tuned
        parameters[variant.name] = {**parameters[REFERENCE], **variant.start}
    methods = [*methods, *variants]
    ordered: dict[str, list[Measured]] = {method.name: [] for method in methods}
    seconds = dict.fromkeys(ordered, 0.0)
    reported_at = []
    for split in one_by_one(events, windows, window_hours, REPORTED, sample, seed):
        reported_at.append(_utc(split.at_us))
        for method in methods:
            started = time.monotonic()
            lists = method.lists(split, parameters[method.name], popular_hours)
            seconds[method.name] += time.monotonic() - started
            found = measure(split, lists, seed)
            ordered[method.name].append(found)
            say(
                f"{reported_at[-1]} {method.name}: {len(lists):,} lists in {time.monotonic() - started:.1f} s, "
                f"recall@30 {found.values[:, 0].mean():.4f}"
            )
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
        viewers=viewers_by_class(ordered[REFERENCE]),
        parameters=parameters,
        seconds=seconds,
        about={method.name: method.about for method in methods},
        summary=summarise(ordered, REFERENCE, seed),
        trials=trials,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _utc(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M")
