"""Keys and the tokens that are signed with them: proofs of DPoP (RFC 9449), and the client's assertions (RFC 7523).

Owns: what is in them, and the client's key in its file. Leaves to others: JOSE, which is joserfc's, and when a proof is
needed (``exchanges``). Every key is of P-256.
"""

import json
import secrets
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from serving.secret_files import kept

ALGORITHM = "ES256"
ASSERTION_SECONDS = 60


def new_key() -> ECKey:
    """Make a key."""
    return ECKey.generate_key("P-256")


def private_text(key: ECKey) -> str:
    """Return a key as text from which ``key_of`` makes it again."""
    return json.dumps(key.as_dict(private=True))


def key_of(text: str) -> ECKey:
    """Return the key of a text; ValueError when it is none."""
    try:
        return ECKey.import_key(json.loads(text))
    except (JoseError, KeyError, TypeError) as error:
        raise ValueError("not a key") from error


def public_jwk(key: ECKey) -> dict[str, Any]:
    """Return the public half as others may read it."""
    return {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}


def proof(key: ECKey, method: str, address: str, nonce: str, now: float) -> str:
    """Return a proof that whoever sends a request has the key."""
    claims: dict[str, Any] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": address,
        "iat": int(now),
    }
    if nonce:
        claims["nonce"] = nonce
    header = {"typ": "dpop+jwt", "alg": ALGORITHM, "jwk": public_jwk(key)}
    return jwt.encode(header, claims, key, algorithms=[ALGORITHM])


def assertion(key: ECKey, client_id: str, issuer: str, now: float) -> str:
    """Return what proves to an authorization server that this client sends a request."""
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "jti": secrets.token_urlsafe(16),
        "iat": int(now),
        "exp": int(now) + ASSERTION_SECONDS,
    }
    header = {"alg": ALGORITHM, "kid": key.thumbprint()}
    return jwt.encode(header, claims, key, algorithms=[ALGORITHM])


def stored_key(path: Path) -> ECKey:
    """Return the key in a file, which the first call makes; when it can't be written, this process's own."""
    return key_of(kept(path, lambda: private_text(new_key()).encode(), _is_key).decode())


def _is_key(content: bytes) -> bool:
    try:
        key_of(content.decode("ascii"))
    except ValueError:
        return False
    return True
