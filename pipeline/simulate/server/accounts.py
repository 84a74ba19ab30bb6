"""Keys, DID documents and service tokens of the people.

Owns: what a PLC directory says of an account and what its PDS would sign. Leaves to others: HTTP
(``http_pages``). Keys are a function of seed and number, made when asked for.
"""

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson
from coincurve import PrivateKey

from pipeline.simulate.world.people import People

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SECP256K1_PUBLIC = b"\xe7\x01"


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
        return "z" + base58(_SECP256K1_PUBLIC + point)

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
    """Return the service token the account's PDS would mint: a JWT, ES256K, low-S, for ``seconds`` from now.

    ``now`` is in seconds since 1970, the wall clock by default; without ``lxm`` the claim is left out.
    """
    issued = int(time.time() if now is None else now)
    claims: dict[str, Any] = {"iat": issued, "iss": account.did, "aud": aud, "exp": issued + seconds}
    if lxm is not None:
        claims["lxm"] = lxm
    claims["jti"] = secrets.token_hex(16)
    signed = (
        _base64url(orjson.dumps({"typ": "JWT", "alg": "ES256K"})) + "." + _base64url(orjson.dumps(claims))
    )
    # libsecp256k1 signs low-S; the recoverable form is the 64 raw bytes and a recovery id.
    signature: bytes = PrivateKey(account.secret).sign_recoverable(signed.encode())[:64]
    return signed + "." + _base64url(signature)


def base58(data: bytes) -> str:
    """Return bytes in the bitcoin alphabet's base 58."""
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
