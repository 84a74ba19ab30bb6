"""Which internet addresses somebody else's DID may send this service to.

Owns: the decision for one address. Leaves to others: name lookup and connecting (``fetch``). Only unicast addresses
of the public internet pass. An IPv6 form that wraps an IPv4 address never passes: what it means would depend on a
router.
"""

import ipaddress

_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# Ranges inside the public ones that the standard library of some Python we support still calls global.
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")  # Teredo and kin, examples, 6to4
)
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier and tailnet addresses
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)


def is_public(text: str) -> bool:
    """Tell whether a numeric address belongs to the public internet; False for anything unreadable."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _REFUSED_V4)
    return (
        address.scope_id is None
        and address in _PUBLIC_V6
        and not any(address in network for network in _REFUSED_V6)
    )
