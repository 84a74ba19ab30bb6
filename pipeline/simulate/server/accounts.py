"""Keys, DID documents and service tokens of the people.

Owns: what a PLC directory says of an account, and what its PDS would sign. Leaves to others: HTTP (``http_pages``).
Keys are a function of the seed and a person's number, made on demand.
"""

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson
from atproto_crypto.consts import BASE58_MULTIBASE_PREFIX, SECP256K1_DID_PREFIX
from atproto_crypto.multibase import bytes_to_multibase
from coincurve import PrivateKey

from pipeline.simulate.world.people import People


@dataclass(frozen=True, slots=True)
class Account:
    """A person's account."""

    did: str
    handle: str
    secret: bytes

    @property
    def public_key_multibase(self) -> str:
        """The secp256k1 key as a DID document writes it."""
        point: bytes = PrivateKey(self.secret).public_key.format(compressed=True)
        key: str = bytes_to_multibase(BASE58_MULTIBASE_PREFIX, SECP256K1_DID_PREFIX + point)
        return key

    def document(self) -> dict[str, Any]:
        """Return the DID document."""
        return {
            "@context": [
                "https://www.w3.org/ns/did/v1",
                "https://w3id.org/security/multikey/v1",
                "https://w3id.org/security/suites/secp256k1-2019/v1",
            ],
            "id": self.did,
            "alsoKnownAs": [f"at://{self.handle}"],
            "verificationMethod": [
                {
                    "id": f"{self.did}#atproto",
                    "type": "Multikey",
                    "controller": self.did,
                    "publicKeyMultibase": self.public_key_multibase,
                }
            ],
            "service": [
                {
                    "id": "#atproto_pds",
                    "type": "AtprotoPersonalDataServer",
                    "serviceEndpoint": "https://pds.simulated.example",
                }
            ],
        }


def account_of(people: People, did: str) -> Account | None:
    """Return the account of a DID, or None when no person has it."""
    number = people.number.get(did)
    if number is None:
        return None
    secret = hashlib.sha256(f"foryou simulate {people.seed} {number}".encode()).digest()
    return Account(did, people.handle(number), secret)


def mint_token(
    account: Account, aud: str, lxm: str | None, seconds: int = 60, now: float | None = None
) -> str:
    """Return the service token that the account's PDS would mint: a JWT, ES256K, low-S, valid for ``seconds``.

    ``now`` is in seconds since 1970, by default the wall clock's. With ``lxm`` None the claim is left out.
    """
    issued = int(time.time() if now is None else now)
    claims: dict[str, Any] = {"iat": issued, "iss": account.did, "aud": aud, "exp": issued + seconds}
    if lxm is not None:
        claims["lxm"] = lxm
    claims["jti"] = secrets.token_hex(16)
    signed = ".".join(_base64url(orjson.dumps(part)) for part in ({"typ": "JWT", "alg": "ES256K"}, claims))
    # libsecp256k1 signs low-S; the recoverable form is the 64 raw bytes and a recovery id.
    signature: bytes = PrivateKey(account.secret).sign_recoverable(signed.encode())[:64]
    return signed + "." + _base64url(signature)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
