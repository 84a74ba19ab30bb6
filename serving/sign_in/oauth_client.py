"""What this service is to an authorization server: an OAuth client.

Owns: its id, its address for answers, its metadata and keys, and how it proves itself. Leaves to others: the exchange
(``sign_in_flow``), and the form of proofs (``proofs``).

A service with a public name is a confidential client: the metadata are at its id, an address of this service, and a key
signs its requests. One on this machine is the loopback client of the specification, which has no key, and whose id says
all that an authorization server needs. It asks for ``atproto`` alone: to know who somebody is.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

from joserfc.jwk import ECKey

from serving.config import ServingConfig, is_loopback
from serving.sign_in.proofs import ALGORITHM, assertion, public_jwk, stored_key

SCOPE = "atproto"
CALLBACK = "/oauth/callback"
METADATA = "/oauth/client-metadata.json"
KEYS = "/oauth/jwks.json"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True)
class OAuthClient:
    """This installation as a client."""

    config: ServingConfig

    @cached_property
    def is_local(self) -> bool:
        """Whether the service is on this machine alone."""
        return is_loopback(self._host)

    @cached_property
    def origin(self) -> str:
        """Where a browser finds this service; a loopback client must use the address, not the name localhost."""
        if not self.is_local:
            return f"https://{self.config.hostname}"
        _, _, port = self.config.hostname.rpartition(":") if ":" in self.config.hostname else ("", "", "")
        return f"http://127.0.0.1:{port or self.config.listen[1]}"

    @cached_property
    def redirect_uri(self) -> str:
        """Where an authorization server sends the browser back."""
        return self.origin + CALLBACK

    @cached_property
    def client_id(self) -> str:
        """The client's id."""
        if self.is_local:
            return "http://localhost?" + urlencode(
                {"redirect_uri": self.redirect_uri, "scope": SCOPE}, quote_via=quote, safe=""
            )
        return self.origin + METADATA

    @cached_property
    def key(self) -> ECKey:
        """The key that signs assertions."""
        return stored_key(self.config.client_key_path)

    def metadata(self) -> dict[str, Any]:
        """Return what an authorization server reads at the client's id."""
        return {
            "client_id": self.client_id,
            "client_name": "foryou",
            "client_uri": self.origin,
            "application_type": "web",
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "redirect_uris": [self.redirect_uri],
            "scope": SCOPE,
            "dpop_bound_access_tokens": True,
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": ALGORITHM,
            "jwks_uri": self.origin + KEYS,
        }

    def keys(self) -> dict[str, Any]:
        """Return the public keys."""
        return {
            "keys": [public_jwk(self.key) | {"kid": self.key.thumbprint(), "use": "sig", "alg": ALGORITHM}]
        }

    def identification(self, issuer: str, now: float) -> dict[str, str]:
        """Return the fields of a form by which this client says and proves who it is."""
        if self.is_local:
            return {"client_id": self.client_id}
        return {
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion(self.key, self.client_id, issuer, now),
        }

    @property
    def _host(self) -> str:
        return self.config.hostname.partition(":")[0]
