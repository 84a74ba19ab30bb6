"""Who takes: a DID, or for did:web the domain that somebody registered.

Owns: the registrable domain of a host name, by the public suffix list, and a DID's taker. Leaves to others: what a
taker may take (``limits``).

Only the list's first part counts, the suffixes of registries. A name below the suffixes of its second part, such as
github.io, costs nothing, so all of them are one domain here.
"""

from functools import cache

from publicsuffixlist import PublicSuffixList

_WEB = "did:web:"


def registrable(host: str) -> str:
    """Return the domain that a host name belongs to; the name itself when it is not below a suffix."""
    return _suffixes().privatesuffix(host) or host


def taker_of(did: str) -> str:
    """Return a did:web's registrable domain, any other DID itself."""
    if not did.startswith(_WEB):
        return did
    return registrable(did[len(_WEB) :].partition(":")[0].partition("%")[0].lower())


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)
