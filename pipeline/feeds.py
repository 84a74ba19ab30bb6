"""The feeds of an installation, and the experiments on them: who gets lists by which parameters.

Owns: ``Feed``, ``Variant``, the check of the tables ``[feeds.NAME]`` and ``[experiments.NAME]`` of foryou.toml, and the
stable number that decides which variant a viewer gets. Leaves to others: what parameters mean (``ranking``), making
lists (``batch``).

An experiment gives each of its variants a share of one feed's viewers and some parameters of its own. The remaining
viewers are the control. The split depends only on the viewer's DID and the experiment's name.
"""

import hashlib
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.errors import SettingError
from pipeline.ranking import NEIGHBOUR_PARAMETERS, Ranking, ranking_from
from pipeline.settings import FEED_WORDS, Settings

CONTROL = "control"
# What a variant can't change: all variants of a feed share the neighbours, the likes that a run reads, and the limits
# of its memory.
NOT_IN_A_VARIANT = frozenset(
    (*NEIGHBOUR_PARAMETERS, "post_max_age_hours", "block_viewers", "keep_minutes", "memory_limit_gb")
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def variant_number(experiment: str, did: str) -> float:
    """Return a viewer's number in an experiment, from 0 up to 1, as ``variant_number`` of sql/batch/macros.sql."""
    return int(hashlib.sha256(f"{experiment} {did}".encode()).hexdigest()[:8], 16) / 2**32


@dataclass(frozen=True, slots=True)
class Variant:
    """Viewers whose lists are made with the same parameters: their numbers in the experiment lie in one range."""

    experiment: str
    name: str
    ranking: Ranking
    from_share: float = 0.0
    until_share: float = 1.0

    @property
    def label(self) -> str:
        """The name in impressions: EXPERIMENT/NAME, empty outside an experiment."""
        return f"{self.experiment}/{self.name}" if self.experiment else ""

    @property
    def is_control(self) -> bool:
        """Whether lists are made with it of whoever is in no other variant."""
        return not self.experiment or self.name == CONTROL

    def has(self, did: str, own: Container[str] = frozenset()) -> bool:
        """Tell whether a viewer's list is made with the variant; ``own`` are those who set something for themselves."""
        if not self.experiment:
            return True
        if did in own:
            return self.is_control
        return self.from_share <= variant_number(self.experiment, did) < self.until_share


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed of an installation: its record key and the parameters of its lists."""

    rkey: str
    ranking: Ranking
    experiment_variants: tuple[Variant, ...] = ()  # the rest of the viewers are the control

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants of its experiment, the control last; without an experiment a single one for everybody."""
        if not self.experiment_variants:
            return (Variant("", "", self.ranking),)
        last = self.experiment_variants[-1]
        control = Variant(last.experiment, CONTROL, self.ranking, last.until_share)
        return (*self.experiment_variants, control)

    def with_rankings(self, change: Callable[[Ranking], Ranking]) -> "Feed":
        """Return the feed with other parameters, in all its variants."""
        variants = tuple(
            replace(variant, ranking=change(variant.ranking)) for variant in self.experiment_variants
        )
        return replace(self, ranking=change(self.ranking), experiment_variants=variants)


def feeds_of(settings: Settings) -> tuple[Feed, ...]:
    """Return the feeds, the one of FORYOU_FEED_RKEY first; SettingError for a wrong parameter.

    A feed has the parameters of ``[ranking]``, except those that its own table ``[feeds.NAME]`` sets.
    """
    base = ranking_from(settings.ranking)
    own = {settings.rkey_of(name): (f"[feeds.{name}]", table) for name, table in settings.feeds.items()}
    feeds = []
    for rkey in settings.feed_rkeys:
        where, table = own.get(rkey, ("", {}))
        ranking = base
        if table:
            given = {name: value for name, value in table.items() if name not in FEED_WORDS}
            ranking = ranking_from({**settings.ranking, **given}, where)
            if ranking.seed_window_days > base.seed_window_days:
                raise SettingError(
                    f"{where} seed_window_days must not exceed that of [ranking], {base.seed_window_days}: so many "
                    "days of likes are kept"
                )
        feeds.append(Feed(rkey, ranking))
    return _with_experiments(settings, feeds)


def _with_experiments(settings: Settings, feeds: Sequence[Feed]) -> tuple[Feed, ...]:
    """Return the feeds with the variants that ``[experiments.NAME]`` gives them, at most one experiment a feed."""
    found = {feed.rkey: feed for feed in feeds}
    for name, table in settings.experiments.items():
        where = f"[experiments.{name}]"
        if not _NAME.fullmatch(name) or not isinstance(table, dict):
            raise SettingError(f"{where} must be a table, its name letters, digits, - and _, 40 at most")
        rkey = table.get("feed", settings.feed_rkey)
        if rkey not in found:
            raise SettingError(f"{where} feed = {rkey!r}: expected one of {', '.join(found)}")
        if found[rkey].experiment_variants:
            other = found[rkey].experiment_variants[0].experiment
            raise SettingError(f"{where} feed = {rkey!r}: [experiments.{other}] is already on this feed")
        feed = found[rkey]
        variants = []
        share = 0.0
        for variant_name, values in table.items():
            if variant_name == "feed":
                continue
            variant = _variant(name, variant_name, values, feed, share)
            share = variant.until_share
            variants.append(variant)
        if not variants or share > 1 + 1e-9:
            raise SettingError(
                f"{where} needs a table a variant, [experiments.{name}.VARIANT], shares up to 1 in all"
            )
        found[rkey] = replace(feed, experiment_variants=tuple(variants))
    return tuple(found.values())


def _variant(experiment: str, name: str, table: Any, feed: Feed, from_share: float) -> Variant:
    where = f"[experiments.{experiment}.{name}]"
    if not _NAME.fullmatch(name) or name == CONTROL or not isinstance(table, dict):
        raise SettingError(f"{where} must be a table, its name letters, digits, - and _, not {CONTROL!r}")
    share = table.get("share")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise SettingError(
            f"{where} share = {share!r}: must be a number above 0, up to 1: the share of viewers who get it"
        )
    values = {key: value for key, value in table.items() if key != "share"}
    for key in values:
        if key in NOT_IN_A_VARIANT:
            raise SettingError(
                f"{where} {key} is the same in all variants: make it a feed of its own, [feeds.NAME]"
            )
    return Variant(
        experiment,
        name,
        ranking_from({**asdict(feed.ranking), **values}, where),
        from_share,
        from_share + share,
    )
