"""Tokens that were taken once and must not be taken again.

Owns: what identifies a token, and remembering it until it expires, here and in the other workers. Leaves to others:
verifying it (``auth``), and what follows from its use (``send_interactions``).

A token is identified by its issuer and ``jti``. Older hosts mint none; then the signature counts, with the smaller of
its two equivalent values of s, since anybody can compute the other one. Invariant: no token is forgotten while it is
valid. Where there is no room for one, it is refused.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from serving.budgets.allowances import Taken
from serving.budgets.limits import USED_TOKENS, Bounds, ByClass
from serving.identity.tokens import LEEWAY_SECONDS, Token

Verdict = Literal["new", "used", "full"]

_SPAN_SECONDS = 60
_ORDERS = {
    "ES256K": 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141,
    "ES256": 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551,
}


class UsedTokens:
    """Remembers tokens by the minute in which they expire; may be used from any thread.

    ``tell`` sends a message to the other workers; ``take`` gets theirs.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        *,
        tell: Callable[[tuple[Any, ...]], None] = lambda _message: None,
        bounds: ByClass[Bounds] = USED_TOKENS,
    ) -> None:
        self._now = now
        self._tell = tell
        self._taken = Taken(bounds)
        self._spans: dict[int, dict[bytes, tuple[str, bool]]] = {}
        self._lock = threading.Lock()

    def use(self, token: Token, *, known: bool) -> Verdict:
        """Remember a token, unless it was used before or there is no room for it."""
        mark, span = mark_of(token), _span_of(token)
        with self._lock:
            self._drop_expired()
            if mark in self._spans.get(span, ()):
                return "used"
            if self._taken.room(token.issuer, known=known) < 1:
                return "full"
            self._remember(mark, span, token.issuer, known)
        self._tell(("token", mark, span, token.issuer, known))
        return "new"

    def give_back(self, token: Token) -> None:
        """Forget a token whose request was refused; its client may send it again to this worker."""
        with self._lock:
            span = _span_of(token)
            found = self._spans.get(span, {}).pop(mark_of(token), None)
            if found is not None:
                self._taken.add(found[0], -1, known=found[1])

    def take(self, message: tuple[Any, ...]) -> None:
        """Take in one message of another worker, if it is about a token."""
        if message[0] == "token":
            _, mark, span, issuer, known = message
            with self._lock:
                if mark not in self._spans.get(span, ()):
                    self._remember(mark, span, issuer, known)

    def _remember(self, mark: bytes, span: int, issuer: str, known: bool) -> None:
        self._spans.setdefault(span, {})[mark] = issuer, known
        self._taken.add(issuer, 1, known=known)

    def _drop_expired(self) -> None:
        now = int(self._now() // _SPAN_SECONDS)
        for span in [span for span in self._spans if span < now]:
            for issuer, known in self._spans.pop(span).values():
                self._taken.add(issuer, -1, known=known)


def mark_of(token: Token) -> bytes:
    """Return what identifies a token, in 16 bytes."""
    if token.jti:
        own = token.jti.encode("utf-8", "surrogatepass")
    else:
        s = int.from_bytes(token.signature[32:], "big")
        own = token.signature[:32] + min(s, _ORDERS[token.algorithm] - s).to_bytes(33, "big", signed=True)
    kind = b"jti" if token.jti else b"signature"
    issuer = token.issuer.encode("ascii", "backslashreplace")
    return hashlib.blake2b(b"\n".join((kind, issuer, own)), digest_size=16).digest()


def _span_of(token: Token) -> int:
    return int((token.expires + LEEWAY_SECONDS) // _SPAN_SECONDS)
