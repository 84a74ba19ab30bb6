"""Who asks: the viewer that a request's token proves, or nobody.

Owns: putting a token's checks, its signer's key and replays together. Leaves to others: each of those.

Invariants: a request without an Authorization header is anonymous; one with a header that proves nothing is
refused, never anonymous, so a viewer with a broken token is not quietly shown somebody else's idea of a feed.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable

import falcon

from serving.config import ServingConfig
from serving.identity.resolver import DidBusyError, DidUnknownError, DidUnreachableError, KeyResolver
from serving.identity.tokens import LEEWAY_SECONDS, Token, bearer, read_token
from serving.web_errors import TokenError, UnavailableError

REPLAYS_MAX = 100_000


class Authenticator:
    """Verifies the tokens of requests; may be called from any thread."""

    def __init__(self, config: ServingConfig, resolver: KeyResolver, now: Callable[[], float]) -> None:
        self._audiences = config.audiences
        self._loopback = config.on_loopback_network
        self._resolver = resolver
        self._now = now

    def token(self, request: falcon.Request, method: str) -> Token | None:
        """Return the verified token of a request for an XRPC method, None when it carries none.

        Raises TokenError (401), or UnavailableError when the signer's document can't be had just now.
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
            raise UnavailableError(
                f"the signer's DID document can't be had: {error}", upstream=True
            ) from error
        if key.algorithm == token.algorithm and key.verifies(token.signature, token.signed):
            return
        renewed = self._resolver.refreshed_key(token.issuer)  # perhaps the key was rotated
        if renewed is None or renewed.algorithm != token.algorithm:
            raise TokenError("BadJwtSignature", "the signature is not the signer's")
        if not renewed.verifies(token.signature, token.signed):
            raise TokenError("BadJwtSignature", "the signature is not the signer's")


class ReplayMemory:
    """The (iss, jti) pairs of tokens still alive, at most ``size`` of them, the oldest forgotten first."""

    def __init__(self, size: int = REPLAYS_MAX) -> None:
        self._size = size
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_replay(self, token: Token, now: float) -> bool:
        """Tell whether this token was shown before, and remember it; one without jti is never a replay."""
        if not token.jti:
            return False
        pair = f"{token.issuer}\n{token.jti}".encode("utf-8", "surrogatepass")
        mark = hashlib.blake2b(pair, digest_size=16).digest()
        with self._lock:
            while self._seen:
                oldest = next(iter(self._seen))
                if self._seen[oldest] >= now and len(self._seen) < self._size:
                    break
                del self._seen[oldest]
            if self._seen.get(mark, 0.0) >= now:
                return True
            self._seen[mark] = token.expires + LEEWAY_SECONDS
            return False
