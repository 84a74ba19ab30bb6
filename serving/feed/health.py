"""GET /health: whether the feed works, for a monitor and for people.

Owns: the decision. Leaves to others: the facts. The answer is 200 when there are fresh lists and visits can be
written, else 503 with the reason. The feed itself answers as well as it can in either case. Anybody may ask, so no
path and no viewer is named. At the address of the operator's pages the version of the proxy in front and the
pages of the last minutes are added.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import falcon

from serving.feed.send_interactions import SendInteractions
from serving.http import xrpc
from serving.http.clients import PAGES_LISTENER
from serving.http.recent_pages import RecentPages
from serving.http.request_log import SeenProxy
from serving.lists.list_store import ListStore
from serving.read_pool import StoreUnreadableError
from serving.viewers.activity_writer import ActivityWriter

CLOCK_SECONDS = (
    120.0  # a generation further in the future was published before this machine's clock was set back
)


@dataclass(slots=True)
class Health:
    """The state of the lists and of the activity writer."""

    store: ListStore
    activity: ActivityWriter
    interactions: SendInteractions
    now: Callable[[], float]
    old_seconds: float
    proxy: SeenProxy
    pages: RecentPages

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the state: 200, or 503 with ``reason``."""
        reason, lists = self._lists()
        activity = self.activity.state()
        if not reason and not activity["ok"]:
            reason = "visits and interactions can't be written; the log says why"
        state: dict[str, Any] = {"ok": not reason}
        if reason:
            state["reason"] = reason
            response.status = falcon.HTTP_503
        state |= lists
        state["activity"] = activity | {"ignored": dict(self.interactions.ignored)}
        if request.env.get(PAGES_LISTENER) is True:
            state["proxy"] = self.proxy.version
            state["pages"] = self.pages.figures()
        xrpc.answer(response, state, private=True)

    on_head = on_get

    def _lists(self) -> tuple[str, dict[str, Any]]:
        state: dict[str, Any] = {
            "generation": None,
            "age_seconds": None,
            "everybody_age_seconds": None,
            "lists": 0,
        }
        try:
            with self.store.read() as snapshot:
                if snapshot is None:
                    return "there is no serving.sqlite yet: the batch has not run", state
                current = snapshot.current()
                if current is None:
                    return "no generation is published yet", state
                age = self.now() - current.published_us / 1_000_000
                state["generation"] = current.number
                state["age_seconds"] = round(age, 1)
                everybody = self.now() - snapshot.everybody_renewed_us() / 1_000_000
                state["everybody_age_seconds"] = round(everybody, 1)
                state["lists"] = self.store.viewers(snapshot, current.number)
        except StoreUnreadableError:
            return "serving.sqlite can't be read; the log says why", state
        # Runs for a few viewers publish generations too; everybody else's lists may be old all the same.
        oldest = max(age, everybody)
        if oldest > self.old_seconds:
            return (
                f"lists are old: everybody's are of {oldest / 3600:.1f} hours ago; is the batch running?",
                state,
            )
        newest = min(age, everybody)
        if newest < -CLOCK_SECONDS:
            return (
                f"the newest lists are {-newest / 3600:.1f} hours in the future; was this machine's clock set back?",
                state,
            )
        return "", state
