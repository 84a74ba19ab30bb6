"""What labels do without any setting, compared with the official app's own library and a real labeler's definitions."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from network.conftest import INSTALLED, Network

from pipeline.label_levels import DEFAULT_WORDS

# Of these the library knows nothing: the first two the AppView leaves out, the third is an author's wish.
NOT_OF_THE_APP = {"!takedown", "!suspend", "!no-promote"}
# For each value, what the library does with a post that has the label, in a list: for a viewer with the settings that
# an account has at first, and for somebody who is not signed in.
ASK = """
import { readFileSync } from 'node:fs'
import { DEFAULT_LABEL_SETTINGS, LABELS, interpretLabelValueDefinitions, moderatePost } from '@atproto/api'
const { labeler, values } = JSON.parse(readFileSync(0, 'utf8'))
const src = labeler.creator.did, author = { did: 'did:plc:author', handle: 'author.example' }
const uri = `at://${author.did}/app.bsky.feed.post/3mmoojp7etg2g`, cid = 'bafy', made = '2026-01-01T00:00:00.000Z'
const prefs = {
  adultContentEnabled: false, labels: DEFAULT_LABEL_SETTINGS, labelers: [{ did: src, labels: {} }],
  mutedWords: [], hiddenPosts: [],
}
const does = (val, userDid) => {
  const labels = [{ src, uri, cid, val, cts: made }]
  const post = { uri, cid, author, labels, indexedAt: made, record: { text: 'x', createdAt: made } }
  const decision = moderatePost(post, { userDid, prefs, labelDefs: { [src]: interpretLabelValueDefinitions(labeler) } })
  if (decision.ui('contentList').filter) return 'hides'
  const seen = ['contentList', 'contentMedia'].map((part) => decision.ui(part))
  return seen.some((ui) => ui.blur || ui.alert || ui.inform) ? 'warns' : 'shows'
}
const every = new Set([...values, ...labeler.policies.labelValues, ...Object.keys(LABELS)])
const answers = [...every].map((val) => [val, [does(val, 'did:plc:viewer'), does(val, undefined)]])
console.log(JSON.stringify(Object.fromEntries(answers)))
"""
WORDS = {
    ("hides", "hides"): "everywhere",
    ("warns", "warns"): "popular",
    ("shows", "hides"): "anonymous",
    ("shows", "shows"): "keep",
}


@pytest.fixture(scope="module")
def labeler(network: Network) -> dict[str, Any]:
    """The moderation service of the network, whose definitions are those of Bluesky's own."""
    if not network.labeler:
        pytest.skip("the labeler needs Debian's postgresql and redis-server")
    network.control("processAll")
    answer = httpx.get(
        f"{network.appview}/xrpc/app.bsky.labeler.getServices",
        params={"dids": network.labeler, "detailed": "true"},
        timeout=20,
    )
    [view] = answer.json()["views"]
    return dict(view)


def test_every_value_does_what_the_app_does(labeler: dict[str, Any]):
    asked = subprocess.run(
        [INSTALLED / "node22" / "bin" / "node", "--input-type=module", "-e", ASK],
        cwd=Path(INSTALLED) / "net",
        input=json.dumps({"labeler": labeler, "values": sorted(DEFAULT_WORDS)}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    app = {value: WORDS[signed, anonymous] for value, (signed, anonymous) in json.loads(asked.stdout).items()}
    assert len(app) > 25
    ours = {value: DEFAULT_WORDS.get(value, "keep") for value in app.keys() - NOT_OF_THE_APP}
    assert ours == {value: word for value, word in app.items() if value not in NOT_OF_THE_APP}
    assert {app[value] for value in NOT_OF_THE_APP} == {"keep"}
