"""From outside: somebody without likes signs in, picks three posts, and has a list that knows of them."""

import re
from collections import Counter
from html import unescape
from pathlib import Path

import httpx
from picking_reader import running_feed
from streams import wait_until
from test_batch_tiers import lists_of


def test_three_picks_make_a_list_and_three_others_another(tmp_path: Path) -> None:
    with running_feed(tmp_path) as feed, httpx.Client(base_url=feed.address, timeout=120) as browser:
        own = {"Origin": feed.address}
        assert browser.get("/start").headers["Location"] == "/sign-in"
        begun = browser.post("/sign-in", data={"account": feed.reader}, headers=own)
        assert begun.status_code == 200, begun.text
        back = feed.server.agree(begun.headers["Refresh"].partition("url=")[2])
        assert browser.get(back).status_code in (200, 303)
        assert "Few likes yet?" in browser.get("/me").text
        page = browser.get("/start", headers={"Accept-Language": "en"}).text
        proof = re.findall(r'name="proof" value="([^"]+)"', page)[0]
        boxes = [re.findall(r'name="post" value="([^"]+)"', box) for box in page.split("<fieldset>")[1:]]
        assert len(boxes) >= 5
        offered = Counter(feed.community_of(post) for box in boxes for post in box)
        assert len(offered) >= 5  # communities differ
        pure = {}  # boxes of one community, at least three posts
        for box in boxes:
            found = {feed.community_of(post) for post in box}
            if len(found) == 1 and len(box) >= 3:
                pure.setdefault(found.pop(), [unescape(post) for post in box[:3]])
        wanted = list(pure)[:2]
        made = {}
        for community in wanted:
            saved = browser.post("/start", data={"proof": proof, "post": pure[community]}, headers=own)
            assert saved.headers["Location"] == "/me#picked"
            wait_until(lambda: "Your list is ready" in browser.get("/me").text)
            posts = [post for post, *_ in lists_of(feed.data_dir)[feed.reader]]
            assert not set(pure[community]) & set(posts)
            made[community] = Counter(feed.community_of(post) for post in posts[:30])
            assert browser.post("/me/take-picks-back", data={"proof": proof}, headers=own).status_code == 303
        a, b = wanted
        print(f"\nof 30 posts, after picking three of {a}: {made[a]}\nafter {b}: {made[b]}")
        assert made[a][a] + made[b][b] > made[a][b] + made[b][a]
