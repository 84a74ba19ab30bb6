"""An evaluation from likes to report: tune on the earlier moments, rank and measure at the later ones.

Owns: the order of work, progress lines. Leaves to others: everything it calls. Methods run one after another and keep
their lists of DEPTH items a viewer alone, so memory is bounded by the history and one method's matrices.
"""

import resource
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pipeline.evaluate.events import Events
from pipeline.evaluate.intervals import summarise, viewers_by_class
from pipeline.evaluate.measures import Measured, measure
from pipeline.evaluate.methods import METHODS, REFERENCE, Method
from pipeline.evaluate.splits import rolling
from pipeline.evaluate.table import Report
from pipeline.evaluate.tuning import Trial, tune

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
    variants: Sequence[Method] = (),
    say: Say = lambda line: None,
) -> Report:
    """Return the report of all methods, and of variants of the tuned reference; EvaluateError for too short a time."""
    earlier, later = rolling(events, windows, window_hours, (tuning_sample, sample), seed)
    say(f"{events.name}: {len(earlier)} moments to tune on, {len(later)} to report")
    trials: list[Trial] = []
    parameters, seconds = {}, {}
    results: dict[str, list[Measured]] = {}
    # First the fallback, which every other method's short lists need.
    popular_hours = float(METHODS["popular"].start["hours"])
    for method in sorted(methods, key=lambda method: method.name != "popular"):
        before = len(trials)
        started = time.monotonic()

        def tried(trial: Trial) -> None:
            trials.append(trial)
            if time.monotonic() - started > 2 and len(trials) % 5 == 0:  # noqa: B023
                say(f"  {trial.method}: {len(trials)} trials, recall {trial.recall:.4f}")

        parameters[method.name] = tune(method, earlier, popular_hours, tried)
        if method.name == "popular":
            popular_hours = float(parameters["popular"]["hours"])
        tuned = time.monotonic()
        results[method.name] = [
            measure(split, method.lists(split, parameters[method.name], popular_hours)) for split in later
        ]
        seconds[method.name] = time.monotonic() - tuned
        mean = sum(part.values[:, 0].sum() for part in results[method.name])
        mean /= sum(len(part.users) for part in results[method.name])
        say(
            f"{method.name}: {len(trials) - before} trials in {tuned - started:.1f} s, lists in "
            f"{seconds[method.name]:.1f} s, recall@30 {mean:.4f}"
        )
    for variant in variants:  # of our ranking as it was tuned
        started = time.monotonic()
        parameters[variant.name] = {**parameters[REFERENCE], **variant.start}
        results[variant.name] = [
            measure(split, variant.lists(split, parameters[variant.name], popular_hours)) for split in later
        ]
        seconds[variant.name] = time.monotonic() - started
        say(f"{variant.name}: lists in {seconds[variant.name]:.1f} s")
    methods = [*methods, *variants]
    ordered = {method.name: results[method.name] for method in methods}
    return Report(
        name=events.name,
        likes=len(events.users),
        users=events.user_count,
        items=events.item_count,
        window_hours=window_hours,
        seed=seed,
        sample=sample,
        reference=REFERENCE,
        tuning_moments=[_utc(split.at_us) for split in earlier],
        moments=[_utc(split.at_us) for split in later],
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
