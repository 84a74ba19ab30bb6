"""Who asks: the viewer that a request's token proves, or nobody.

Owns: combining a token's checks and its signer's key. Leaves to others: both, and which tokens were used before
(``used_tokens``).

Invariant: a request without an Authorization header is anonymous. One with a header that proves nothing is refused,
never anonymous: a viewer with a broken token must not silently get somebody else's feed.
"""

from collections.abc import Callable

import falcon

from serving.config import ServingConfig
from serving.identity.resolver import DidBusyError, DidUnknownError, DidUnreachableError, KeyResolver
from serving.identity.tokens import Token, bearer, read_token
from serving.web_errors import TokenError, UnavailableError


class Authenticator:
    """Verifies the tokens of requests; may be called from any thread."""

    def __init__(self, config: ServingConfig, resolver: KeyResolver, now: Callable[[], float]) -> None:
        self._audiences = config.audiences
        self._loopback = config.on_loopback_network
        self._resolver = resolver
        self._now = now

    def token(self, request: falcon.Request, method: str) -> Token | None:
        """Return the verified token of a request for an XRPC method, None when it has none.

        Raises TokenError (401), or UnavailableError when the signer's document can't be fetched just now.
        """
        header = request.get_header("Authorization")
        if header is None:
            return None
        token = read_token(
            bearer(header),
            audiences=self._audiences,
            method=method,
            now=self._now(),
            loopback=self._loopback,
        )
        self._verify(token)
        return token

    def _verify(self, token: Token) -> None:
        try:
            key = self._resolver.signing_key(token.issuer)
        except DidUnknownError as error:
            raise TokenError("BadJwtIss", f"the signer's DID can't be used: {error}") from error
        except DidBusyError as error:
            raise UnavailableError(str(error)) from error
        except DidUnreachableError as error:
            text = f"the signer's DID document can't be fetched: {error}"
            raise UnavailableError(text, upstream=True) from error
        if key.algorithm == token.algorithm and key.verifies(token.signature, token.signed):
            return
        renewed = self._resolver.refreshed_key(token.issuer)  # perhaps the key was rotated
        if (
            renewed is None
            or renewed.algorithm != token.algorithm
            or not renewed.verifies(token.signature, token.signed)
        ):
            raise TokenError("BadJwtSignature", "the signature is not the signer's")
