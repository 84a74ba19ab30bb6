"""Where the parts of a running demo are, and how to ask them.

Owns: the demo's addresses. Leaves to others: starting the parts (``command``), checking them
(``end_to_end_checks``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SKELETON = "app.bsky.feed.getFeedSkeleton"


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the demo's parts are, and clients for them."""

    data_dir: Path
    address: str  # of the web app, http://127.0.0.1:PORT
    network: str  # of the simulated network
    service_did: str

    @property
    def feed_uri(self) -> str:
        """The feed's at-uri; in the demo the service is its own publisher."""
        return f"at://{self.service_did}/app.bsky.feed.generator/for-you"

    def simulator(self, name: str, **query: Any) -> Any:
        """Ask the simulated network: 'status', 'viewers', 'token'."""
        answer = httpx.get(f"{self.network}/simulator/{name}", params=query, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def token(self, viewer: str, method: str = SKELETON) -> str:
        """Return a token as the viewer's PDS would mint it for us, valid for an hour."""
        answer = self.simulator("token", did=viewer, aud=self.service_did, lxm=method, seconds=3600)
        return str(answer["token"])
