"""What do a viewer's own settings cost a page of the feed?

    python tests/bench/bench_settings.py [--pages 1500] [--viewers 20000]

One web app in this process, with lists of 300 posts and settings of --viewers viewers in activity.sqlite, and one
account that opens the feed with a fresh token each time. Pages of 50 posts are made in turns: as everybody has them,
with a row of settings that changes no page, with seen posts hidden, with fifty hidden authors, and with languages and
media. Times are the processor's, of the whole request without the socket. Prints a table, then one line of JSON.
"""

import json
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import numpy as np
from bench_tools import parser_of
from falcon.testing import TestClient
from page_times import POSTS, make_lists
from serving_worlds import FEED, SKELETON, Account, Clock, OneAccount, bearer, config_of, plc_did

from serving.app import create_app
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.own_settings import USUAL, OwnSettings, SettingsStore
from sql import places

KINDS = {
    "no settings": USUAL,
    "a row that changes no page": OwnSettings(hidden_authors=(plc_did(1_000_000),)),
    "seen posts hidden": OwnSettings(seen="hidden"),
    "fifty hidden authors": OwnSettings(
        hidden_authors=tuple(plc_did(number) for number in range(1_000_000, 1_000_050))
    ),
    "languages and media": OwnSettings(languages=("en", "de"), media=8),
}


def main() -> None:
    """Measure, print."""
    options = parser_of(__doc__, pages=1_500, viewers=20_000).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        make_lists(data_dir, np.random.default_rng(1))
        with closing(sqlite3.connect(places.serving(data_dir))) as store:
            contents = [
                ("en" if post % 2 else "de", 8 if post % 2 else 16, post) for post in range(1, POSTS + 1)
            ]
            store.executemany("UPDATE posts SET langs = ?, media = ? WHERE post_id = ?", contents)
            store.commit()
        clock, account = Clock(), Account(plc_did(0))
        config = config_of(data_dir)
        settings = SettingsStore(config.activity_path, now=clock)
        settings.save(account.did, KINDS["seen posts hidden"], known=True)
        with closing(sqlite3.connect(config.activity_path)) as store:
            store.executemany(
                "INSERT INTO viewer_settings SELECT ?, ?, 1, 0, settings, changed_us FROM viewer_settings "
                "WHERE viewer_did = ?",
                [(plc_did(n), plc_did(n), account.did) for n in range(1, options.viewers)],
            )
            store.commit()
        activity = ActivityWriter(config.activity_path, now=clock)
        client = TestClient(create_app(config, now=clock, resolver=OneAccount(account), activity=activity))
        times: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for turn in range(options.pages // 50):
            for kind, own in KINDS.items():
                settings.save(account.did, own, known=True)
                for _ in range(50):
                    headers = bearer(account.token(now=clock()))
                    began = time.thread_time()
                    page = client.simulate_get(SKELETON, params={"feed": FEED, "limit": 50}, headers=headers)
                    times[kind].append((time.thread_time() - began) * 1e3)
                    assert page.status_code == 200, page.text
                    assert page.json["feed"], kind
            clock.at += 60
            print(f"\rturn {turn + 1}", end="", file=sys.stderr, flush=True)
        activity.close(60)
    answer = {}
    print("\npage of 50 posts             median ms   p99 ms")
    for kind, found in times.items():
        found.sort()
        answer[kind] = (round(median(found), 2), round(found[int(len(found) * 0.99)], 2))
        print(f"{kind:<28} {answer[kind][0]:>9.2f} {answer[kind][1]:>8.2f}")
    print(json.dumps({"bench": "settings", "pages": options.pages, "ms": answer}))


if __name__ == "__main__":
    main()
