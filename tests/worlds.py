"""Small like graphs that a person can solve by hand, written into real stores.

    World().post("p1", by="bob", hours_ago=5).like("ann", "p1", hours_ago=3).write(data_dir)

Names stand for actors and posts, which are numbered in order of first use. Times are hours before the end of the
stream (the watermark).
"""

import json
from pathlib import Path

from pipeline.identifiers import post_uri, tid_at
from pipeline.store.like_words import ALL_KEYS
from pipeline.store.model import HOUR_US, WithheldBy
from sql.sqlite import connect, migrate

WORD = "rkey, liker_id, rev, author_id, post_rkey"
NOW_US = 1_780_000_000_000_000 // HOUR_US * HOUR_US + HOUR_US // 2  # May 2026, 20:30 UTC


class World:
    """A builder of landing.sqlite and activity.sqlite; every method returns the world."""

    def __init__(self, now_us: int = NOW_US) -> None:
        self.now_us = now_us
        self.actors: dict[str, int] = {}
        self.status: dict[str, int] = {}
        self.deleted_us: dict[str, int] = {}  # when the account was deleted
        self.posts: dict[str, tuple[int, int]] = {}  # name: (author_id, rkey)
        self.known: dict[str, tuple[int, int, bool, int, str]] = {}  # created, seen, deleted, flags, langs
        self.likes: dict[tuple[int, int], tuple[int, int, int]] = {}  # (liker, rkey): author, post_rkey, seen
        self.unlikes: dict[tuple[int, int], int] = {}
        self.claimed: set[tuple[int, int]] = set()  # likes that only their owner's repository told of
        self.visits: list[tuple[str, str, str, int, int, int]] = []
        self.interactions: list[tuple[str, str, str, str, str, str, int]] = []
        self.like_rkeys: dict[tuple[str, str], int] = {}
        self.trees: list[tuple[list[str], list[float], list[float]]] = []  # inputs, thresholds, leaves
        self.own: dict[str, tuple[bool, dict[str, float]]] = {}  # by DID: pauses, parameters
        self.withheld: list[tuple[int, int, int, int]] = []  # author, rkey (-1: all of them), cause, level

    def time(self, hours_ago: float) -> int:
        """Return a time in microseconds."""
        return self.now_us - int(hours_ago * HOUR_US)

    def actor(self, name: str, status: int = 0) -> "World":
        """Name an actor, or give one an account status."""
        self.id(name)
        self.status[name] = status
        return self

    def delete_account(self, name: str, *, hours_ago: float) -> "World":
        """Delete an account; ``actor`` may say that it is active again."""
        self.id(name)
        self.status.setdefault(name, 4)
        self.deleted_us[name] = self.time(hours_ago)
        return self

    def id(self, name: str) -> int:
        """Return an actor's number."""
        return self.actors.setdefault(name, len(self.actors) + 1)

    def did(self, name: str) -> str:
        """Return an actor's DID."""
        return f"did:plc:{name}"

    def uri(self, post: str) -> str:
        """Return a post's at-uri."""
        author_id, rkey = self.posts[post]
        names = {number: name for name, number in self.actors.items()}
        return post_uri(self.did(names[author_id]), rkey)

    def post(
        self,
        name: str,
        *,
        by: str,
        hours_ago: float = 1.0,
        flags: int = 0,
        langs: str = "en",
        deleted: bool = False,
    ) -> "World":
        """Let the store know a post, so that it may be a candidate."""
        created_us = self.time(hours_ago)
        self._place(name, by, created_us)
        self.known[name] = (created_us, created_us, deleted, flags, langs)
        return self

    def like(
        self, liker: str, post: str, *, hours_ago: float = 1.0, rkey: int | None = None, claimed: bool = False
    ) -> "World":
        """Let an actor like a post; an unknown post is by '<post>-author' and never a candidate.

        ``claimed``: no stream reported it, their repository listed it with a key of that time.
        """
        if post not in self.posts:
            self._place(post, f"{post}-author", self.time(hours_ago + 1))
        seen_us = self.time(hours_ago)
        rkey = tid_at(seen_us, len(self.likes) % 1024) if rkey is None else rkey
        author_id, post_rkey = self.posts[post]
        self.likes[self.id(liker), rkey] = (author_id, post_rkey, seen_us)
        self.like_rkeys[liker, post] = rkey
        if claimed:
            self.claimed.add((self.id(liker), rkey))
        return self

    def unlike(self, liker: str, post: str, *, hours_ago: float = 0.0) -> "World":
        """Undo an actor's last like of a post."""
        self.unlikes[self.id(liker), self.like_rkeys[liker, post]] = self.time(hours_ago)
        return self

    def visit(self, viewer: str, languages: str = "en", *, hours_ago: float = 0.0) -> "World":
        """Let a viewer open the feed."""
        seen_us = self.time(hours_ago)
        self.visits.append((self.did(viewer), "for-you", languages, 1, seen_us, seen_us))
        return self

    def interaction(self, viewer: str, post: str, event: str, *, hours_ago: float = 0.0) -> "World":
        """Let a viewer answer a post, for instance with 'requestLess'."""
        row = (self.did(viewer), self.uri(post), event, "for-you", "", "", self.time(hours_ago))
        self.interactions.append(row)
        return self

    def sets(self, viewer: str, *, pauses: bool = False, **parameters: float) -> "World":
        """Let a viewer set something for themselves: to pause, or parameters of the ranking."""
        self.own[self.did(viewer)] = (pauses, parameters)
        return self

    def withhold(self, name: str, level: int, cause: int = WithheldBy.LABELER) -> "World":
        """Withhold a post, or else all posts of an actor; authors (cause 2) can withhold nothing but all."""
        author, rkey = self.posts[name] if name in self.posts else (self.id(name), -1)
        self.withheld.append((author, rkey if cause == WithheldBy.LABELER else -1, int(cause), int(level)))
        return self

    def tree(self, inputs: list[str], thresholds: list[float], leaves: list[float]) -> "World":
        """Add a tree to the forecast."""
        self.trees.append((inputs, thresholds, leaves))
        return self

    def write(self, data_dir: Path) -> Path:
        """Write landing.sqlite, and activity.sqlite if anybody did anything; return the folder."""
        data_dir.mkdir(parents=True, exist_ok=True)
        landing = connect(data_dir / "landing.sqlite")
        migrate(landing, "landing")
        landing.execute("BEGIN IMMEDIATE")
        before = {row[:5]: row[5] for row in landing.execute(f"SELECT {WORD}, commit_no FROM like_words")}
        for table in (
            "actors",
            "posts",
            "like_words",
            "like_days",
            "statements",
            "watermark",
            "labels",
            "self_labels",
        ):
            landing.execute(f"DELETE FROM {table}")
        rows = self.rows()
        query = "UPDATE last_commit SET commit_no = commit_no + 1 RETURNING commit_no"
        (told,) = landing.execute(query).fetchone()
        landing.executemany("INSERT INTO actors VALUES (?, ?, ?, 0, ?)", rows["actors"])
        landing.executemany(
            "INSERT INTO posts (author_id, rkey, created_us, seen_us, rev, deleted_rev, flags, langs) "
            "VALUES (?, ?, ?, ?, 1, ?, ?, ?)",
            rows["posts"],
        )
        landing.executemany(
            f"INSERT INTO like_words VALUES (?, ?, ?, ?, ?, ?, ?, {told})",
            [
                (
                    rkey,
                    liker,
                    tid_at(seen_us, 1023),
                    author,
                    post_rkey,
                    seen_us,
                    2 * ((liker, rkey) in self.claimed),
                )
                for liker, rkey, author, post_rkey, seen_us in rows["like_records"]
            ],
        )
        landing.executemany(
            f"INSERT INTO like_words VALUES (?, ?, ?, NULL, NULL, ?, 1, {told}) ON CONFLICT DO NOTHING",
            [(rkey, liker, tid_at(seen_us), seen_us) for (liker, rkey), seen_us in self.unlikes.items()],
        )
        landing.executemany(
            "INSERT INTO statements VALUES (?, ?, ?)",
            [
                (number, ALL_KEYS, tid_at(deleted_us))
                for number, _, _, deleted_us in rows["actors"]
                if deleted_us
            ],
        )
        for word, commit_no in before.items():  # to hear a word again changes nothing
            same = " AND ".join(f"{column} IS ?" for column in WORD.split(", "))
            landing.execute(f"UPDATE like_words SET commit_no = ? WHERE {same}", (commit_no, *word))
        for number, (author, rkey, cause, level) in enumerate(self.withheld):
            if cause == WithheldBy.LABELER:
                label = (rkey, author, 1, f"label-{number}", level)
                landing.execute("INSERT INTO labels VALUES (?, ?, ?, ?, ?, NULL)", label)
            else:
                landing.execute("INSERT OR REPLACE INTO self_labels VALUES (?, 1, ?)", (author, level))
        days = "SELECT day, count(*) FROM likes GROUP BY day"
        landing.execute(f"INSERT INTO like_days {days}")
        landing.execute("INSERT INTO watermark VALUES (1, ?1, ?1, ?1)", (self.now_us,))
        landing.execute("COMMIT")
        landing.close()
        if self.visits or self.interactions or self.own:
            activity = connect(data_dir / "activity.sqlite")
            migrate(activity, "activity")
            activity.executemany("INSERT OR REPLACE INTO visits VALUES (?, ?, ?, ?, ?, ?)", self.visits)
            activity.executemany(
                "INSERT OR REPLACE INTO interactions VALUES (?, ?, ?, ?, ?, ?, ?)", self.interactions
            )
            activity.executemany(
                "INSERT OR REPLACE INTO viewer_settings VALUES (?, '', 1, ?, ?, 0)",
                [
                    (did, pauses, json.dumps({"ranking": parameters}))
                    for did, (pauses, parameters) in self.own.items()
                ],
            )
            activity.close()
        return data_dir

    def rows(self) -> dict[str, list[tuple[int | str, ...]]]:
        """Return the world as rows of the relations in sql/batch/inputs.sql."""
        return {
            "actors": [
                (number, self.did(name), self.status.get(name, 0), self.deleted_us.get(name, 0))
                for name, number in self.actors.items()
            ],
            "posts": [(*self.posts[name], *known) for name, known in self.known.items()],
            "like_records": [
                (liker, rkey, author, post_rkey, seen_us)
                for (liker, rkey), (author, post_rkey, seen_us) in self.likes.items()
                if seen_us > self.unlikes.get((liker, rkey), -1)
            ],
            "claimed_likes": [
                (liker, rkey, None)
                for liker, rkey in self.claimed
                if self.likes[liker, rkey][2] > self.unlikes.get((liker, rkey), -1)
            ],
            "visits": [(visit[0], visit[2], visit[5]) for visit in self.visits],
            "interactions": [(row[0], row[1], row[2]) for row in self.interactions],
            "own_settings": [
                (did, pauses, json.dumps(parameters)) for did, (pauses, parameters) in self.own.items()
            ],
            "withheld": list(self.withheld),
            "forecast_trees": [(number, 1, *tree) for number, tree in enumerate(self.trees)],
        }

    def _place(self, name: str, author: str, created_us: int) -> None:
        if name not in self.posts:
            self.posts[name] = (self.id(author), tid_at(created_us, len(self.posts) % 1024))


def small_town(now_us: int = NOW_US) -> World:
    """Five people liked the same six posts yesterday, p0 to p5; one of them likes five new ones, q0 to q4."""
    made = World(now_us)
    for name in ("ann", "bob", "cat", "dan", "eve"):
        for number in range(6):
            made.like(name, f"p{number}", hours_ago=30 - number)
    for number in range(5):
        made.post(f"q{number}", by=f"author{number}", hours_ago=number + 1)
        made.like("bob", f"q{number}", hours_ago=0.5)
    return made
