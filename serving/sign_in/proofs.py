"""Keys and the tokens that are signed with them: proofs of DPoP (RFC 9449), and the client's assertions (RFC 7523).

Owns: what is in them, and the client's key in its file. Leaves to others: JOSE, which is joserfc's, and when a proof is
needed (``exchanges``). Every key is of P-256.
"""

import contextlib
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

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
    """Return the key in a file, which the first call makes; only its owner may read it.

    When the file can't be written or read, the key is this process's own.
    """
    for _ in range(2):
        with contextlib.suppress(OSError, ValueError):
            return key_of(path.read_text(encoding="ascii"))
        key = new_key()
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(private_text(key))
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                os.replace(draft, path)  # what is there is no key
                return key
            os.link(draft, path)  # another worker's may be first: then that one is read
        except FileExistsError:
            time.sleep(0)
        except OSError:
            return key
        finally:
            draft.unlink(missing_ok=True)
    return key
