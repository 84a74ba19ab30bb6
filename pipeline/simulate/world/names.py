"""What people are called: handles and display names; and the labeler's DID.

Owns: the names, a function of a person's number or of the seed. Leaves to others: everything else about people
(``people``) and the labeler (``labeler``).
"""

import base64
import hashlib

_FIRSTS = (
    "Ada Ben Chiara Dmitri Esra Femi Greta Hugo Ines Jun Kofi Lena Mateo Nadia Olu Priya Quentin Rosa Sami Tove "
    "Uma Viktor Wanda Xiomara Yusuf Zofia Anouk Bram Cleo Dario Elif Farah Goran Hana Ivo Jade Kenji Luz Mira Niko"
)
_LASTS = (
    "Abara Berg Costa Demir Eriksen Fontaine Garcia Haddad Ito Jansen Keller Lindqvist Moreau Novak Okafor Petrov "
    "Quist Rossi Silva Tanaka Ueda Varga Weiss Xu Yilmaz Zeman Adeyemi Blum Castro Dubois Engel Fischer Grau"
)
_FIRST, _LAST = _FIRSTS.split(), _LASTS.split()


def labeler_secret(seed: int) -> bytes:
    """Return the secret of a world's labeler."""
    return hashlib.sha256(f"foryou simulate labeler {seed}".encode()).digest()


def labeler_did(seed: int) -> str:
    """Return the DID of a world's labeler."""
    return "did:plc:" + base64.b32encode(labeler_secret(seed)).decode().lower()[:24]


def display_name(number: int) -> str:
    """Return a person's name; many people share one."""
    return f"{_FIRST[number % len(_FIRST)]} {_LAST[number // len(_FIRST) % len(_LAST)]}"


def handle(number: int) -> str:
    """Return a person's handle, which nobody shares."""
    return f"{_FIRST[number % len(_FIRST)].lower()}-{number}.simulated.example"


def number_of(handle_text: str) -> int | None:
    """Return the number in a handle, None when the text is no handle of this network."""
    name, dot, rest = handle_text.partition(".")
    digits = name.rpartition("-")[2]
    if (
        not dot
        or rest != "simulated.example"
        or not (digits.isascii() and digits.isdigit())
        or len(digits) > 9
    ):
        return None
    number = int(digits)
    return number if handle(number) == handle_text else None
