"""Service-auth tokens: everything about one that can be checked without the network.

Owns: the three parts, their encoding, the header and the claims. Leaves to others: the signer's key (``resolver``),
the signature's arithmetic (``keys``) and replays (``auth``).

Whatever is not known to be right is refused. An attacker writes every byte of a token, and libraries have accepted
tokens without ``exp``, for another service, for another method, or signed with nothing.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from serving.identity.dids import (
    is_signer,  # not atproto_server.auth: it ignores lxm and alg, and exp is optional
)
from serving.web_errors import TokenError

TOKEN_MAX_BYTES = 8192
LEEWAY_SECONDS = 10.0  # clocks differ; the reference verifier has none, its hosts run NTP
HORIZON_SECONDS = 3600.0  # the longest time that a host's token is valid
FUTURE_SECONDS = 60.0  # how far ahead of ours the signer's clock may be
JTI_MAX = 256

_ALGORITHMS = frozenset({"ES256K", "ES256"})
_SECONDS_MAX = 1e12  # beyond the year 9999; infinity and NaN fail the comparison, too
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose claims are right and whose signature is not verified yet.

    ``expires`` is in seconds since 1970; ``jti`` is "" when the token has none.
    """

    issuer: str
    algorithm: str
    expires: float
    jti: str
    signed: bytes
    signature: bytes


def bearer(header: str) -> str:
    """Return the token of an Authorization header; raise TokenError for any other scheme or form."""
    scheme, _, text = header.strip().partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text or " " in text:
        raise TokenError("BadJwt", "the Authorization header has no bearer token")
    return text


def read_token(
    text: str, *, audiences: frozenset[str], method: str, now: float, loopback: bool = False
) -> Token:
    """Return a token's parts when it is addressed to us, for this method, and valid at ``now`` (seconds).

    Raises TokenError with the reference verifier's name for the first fault.
    """
    if len(text) > TOKEN_MAX_BYTES:
        raise TokenError("BadJwt", "the token is too long")
    parts = text.split(".")
    if len(parts) != 3:
        raise TokenError("BadJwt", "a token has three parts")
    header, claims = _json_object(parts[0]), _json_object(parts[1])
    signature = _decode(parts[2])
    algorithm = _check_header(header)
    audience = claims.get("aud")
    if not isinstance(audience, str) or audience not in audiences:
        raise TokenError("BadJwtAudience", "the token is not addressed to this service")
    if not isinstance(claims.get("lxm"), str) or claims["lxm"] != method:
        raise TokenError("BadJwtLexiconMethod", f"the token is not for {method}")
    expires = _check_times(claims, now)
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not is_signer(issuer, loopback=loopback):
        raise TokenError("BadJwtIss", "iss is neither a did:plc nor a did:web with a host name")
    jti = claims.get("jti", "")
    if not isinstance(jti, str) or len(jti) > JTI_MAX:
        raise TokenError("BadJwt", "jti is malformed")
    if len(signature) != 64:
        raise TokenError("BadJwtSignature", "a signature is 64 bytes")
    return Token(issuer, algorithm, expires, jti, f"{parts[0]}.{parts[1]}".encode("ascii"), signature)


def _check_header(header: dict[str, Any]) -> str:
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise TokenError("BadJwtType", "typ is not JWT")  # access, refresh and DPoP tokens are for others
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        raise TokenError("BadJwt", "alg is neither ES256K nor ES256")
    if "kid" in header and header["kid"] != "#atproto":
        raise TokenError("BadJwt", "kid is not #atproto")
    if "crit" in header:
        raise TokenError("BadJwt", "the token demands an extension")
    return algorithm


def _check_times(claims: dict[str, Any], now: float) -> float:
    expires = _seconds(claims, "exp")
    if expires is None:
        raise TokenError("BadJwt", "the token has no exp")
    if now > expires + LEEWAY_SECONDS:
        raise TokenError("JwtExpired", "the token has expired")
    if expires > now + HORIZON_SECONDS + FUTURE_SECONDS:
        raise TokenError("BadJwt", "exp is too far ahead")
    for name in ("iat", "nbf"):
        start = _seconds(claims, name)
        if start is not None and start > now + FUTURE_SECONDS:
            raise TokenError("BadJwt", f"{name} is in the future")
    return expires


def _seconds(claims: dict[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    # abs() of an integer compares exactly: one of any size is refused before it overflows a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _SECONDS_MAX:
        raise TokenError("BadJwt", f"{name} must be a number of seconds")
    return float(value)


def _json_object(part: str) -> dict[str, Any]:
    try:
        value = _DECODER.decode(_decode(part).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TokenError("BadJwt", "header and claims must be JSON objects") from error
    if not isinstance(value, dict):
        raise TokenError("BadJwt", "header and claims must be JSON objects")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):  # another parser would take the other one
        raise ValueError("a key occurs twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)


def _decode(part: str) -> bytes:
    # Strict: no padding, no other alphabet, and only the one text that encoding the bytes would give.
    if _BASE64URL.fullmatch(part) is None:
        raise TokenError("BadJwt", "a part is not in base64url")
    try:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise TokenError("BadJwt", "a part is not in base64url") from error
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part.encode("ascii"):
        raise TokenError("BadJwt", "a part is not in base64url")
    return decoded
