"""Signing keys: read from a DID document, and used to verify.

Owns: multibase and multikey decoding, both curves, and the signature's form. Leaves to others: fetching the
document (``resolver``) and what was signed (``tokens``).

A signature is exactly 64 bytes, r then s. A high s is accepted, as the reference verifier does, because some hosts'
signers still make them. So one message has two valid signatures, and no code may use a token's bytes as a key.
ECDSA exists here for these two curves only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

import coincurve  # not atproto_crypto: it refuses a high s, and verifies ES256K with OpenSSL, seven times as slow
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

SIGNATURE_BYTES = 64
KEY_TEXT_MAX = 128

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUE = {digit: value for value, digit in enumerate(_BASE58)}
_K256_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_MULTIKEY_PREFIXES = {b"\xe7\x01": "ES256K", b"\x80\x24": "ES256"}
_LEGACY_TYPES = {
    "EcdsaSecp256k1VerificationKey2019": "ES256K",
    "EcdsaSecp256r1VerificationKey2019": "ES256",
}


class KeyDocumentError(Exception):
    """A DID document has no signing key that can be used; the text says why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key: the JWT algorithm it belongs to, and its encoded point."""

    algorithm: str
    point: bytes

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Tell whether this key made the signature of the message; any malformed signature is False."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        if r == 0 or s == 0:
            return False
        digest = sha256(message).digest()
        if self.algorithm == "ES256K":
            if s > _K256_ORDER // 2:
                s = _K256_ORDER - s  # libsecp256k1 knows only the low form
                if s <= 0:
                    return False
            try:
                return bool(_k256(self.point).verify(encode_dss_signature(r, s), digest, hasher=None))
            except ValueError:
                return False
        try:
            _p256(self.point).verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(SHA256())))
        except InvalidSignature:
            return False
        return True


def signing_key(document: object, did: str, fragment: str = "#atproto") -> SigningKey:
    """Return the ``#atproto`` key of a DID's document, or another; raise KeyDocumentError when it can't be used."""
    if not isinstance(document, Mapping) or document.get("id") != did:
        raise KeyDocumentError("the DID document is not that DID's")
    methods = document.get("verificationMethod")
    for method in methods if isinstance(methods, list) else []:
        if isinstance(method, Mapping) and method.get("id") in (fragment, did + fragment):
            return _key_of(method)
    raise KeyDocumentError(f"the DID document has no {fragment} signing key")


def _key_of(method: Mapping[str, Any]) -> SigningKey:
    kind, text = method.get("type"), method.get("publicKeyMultibase")
    if not isinstance(kind, str) or not isinstance(text, str):
        raise KeyDocumentError("the signing key is malformed")
    decoded = _multibase(text)
    if kind == "Multikey":
        algorithm = _MULTIKEY_PREFIXES.get(decoded[:2])
        point = decoded[2:]
        if len(point) != 33:
            raise KeyDocumentError("the signing key is malformed")
    else:
        algorithm, point = _LEGACY_TYPES.get(kind), decoded
    if algorithm is None:
        raise KeyDocumentError("the signing key is of an unknown kind")
    try:
        _k256(point) if algorithm == "ES256K" else _p256(point)
    except ValueError as error:
        raise KeyDocumentError("the signing key is not a point of its curve") from error
    return SigningKey(algorithm, point)


def _multibase(text: str) -> bytes:
    if not text.startswith("z") or len(text) > KEY_TEXT_MAX:
        raise KeyDocumentError("the signing key is not in base58btc")
    number = 0
    for digit in text[1:]:
        value = _BASE58_VALUE.get(digit)
        if value is None:
            raise KeyDocumentError("the signing key is not in base58btc")
        number = number * 58 + value
    zeros = len(text[1:]) - len(text[1:].lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


# Decompressing a point costs a modular square root; viewers who scroll verify with one key many times.
@lru_cache(maxsize=8192)
def _k256(point: bytes) -> Any:
    if len(point) not in (33, 65):
        raise ValueError("wrong length")
    return coincurve.PublicKey(point)


@lru_cache(maxsize=8192)
def _p256(point: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
