"""What this service is: its DID document, its feeds, and what robots may read.

Owns: three answers that depend only on the configuration. Leaves to others: the feeds' content.
"""

import falcon

from serving.config import SERVICE_FRAGMENT, ServingConfig, is_loopback
from serving.http import xrpc


class DidDocument:
    """GET /.well-known/did.json: for the did:web of this host name only."""

    def __init__(self, config: ServingConfig) -> None:
        self._config = config

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Answer the document, or 404."""
        hostname, did = self._config.hostname, self._config.service_did
        if did != "did:web:" + hostname.replace(":", "%3A"):
            raise falcon.HTTPNotFound(description="this service's DID is not that of this host name")
        # Clients demand https and port 443; a network of one machine has nothing to protect.
        scheme = "http" if is_loopback(hostname.partition(":")[0]) else "https"
        service = {
            "id": SERVICE_FRAGMENT,
            "type": "BskyFeedGenerator",
            "serviceEndpoint": f"{scheme}://{hostname}",
        }
        xrpc.answer(response, {"@context": ["https://www.w3.org/ns/did/v1"], "id": did, "service": [service]})
        response.set_header("Access-Control-Allow-Origin", "*")

    on_head = on_get


class FeedGenerator:
    """GET app.bsky.feed.describeFeedGenerator."""

    def __init__(self, config: ServingConfig) -> None:
        feeds = [{"uri": config.feed_uri(rkey)} for rkey in config.feed_rkeys]
        self._description: dict[str, object] = {"did": config.service_did, "feeds": feeds}
        links = {"privacyPolicy": config.privacy_policy_url, "termsOfService": config.terms_url}
        if any(links.values()):
            self._description["links"] = {name: address for name, address in links.items() if address}

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Answer this service's DID, its feeds, and where its policies are."""
        xrpc.answer(response, self._description)

    on_head = on_get


class Robots:
    """GET /robots.txt: there is nothing here to index."""

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Ask robots to stay away."""
        response.content_type = falcon.MEDIA_TEXT
        response.text = "User-agent: *\nDisallow: /\n"

    on_head = on_get
