"""Where an installation's viewers' keys come from: its directory, and did:web hosts on the public internet.

Owns: which sources there are, and which addresses are allowed. Leaves to others: resolving (``resolver``), and the
numbers (``budgets.limits``).
"""

import time
from collections.abc import Callable
from functools import partial

from serving.budgets.limits import PLC_FETCHING, PLC_KEYS, PLC_SLOTS, SIGN_IN_SLOTS, WEB_KEYS, WEB_SLOTS
from serving.config import ServingConfig, is_loopback
from serving.identity.changed_identities import ChangedIdentities
from serving.identity.dids import plc_target, web_target
from serving.identity.fetch import Fetcher
from serving.identity.idle_connections import IdleConnections
from serving.identity.key_store import KeyStore
from serving.identity.lookup_slots import Slots
from serving.identity.public_addresses import is_public
from serving.identity.resolver import STALE_SECONDS, KeySource, Resolver

SLOTS = PLC_SLOTS.known + WEB_SLOTS.known + SIGN_IN_SLOTS.known


def default_resolver(
    config: ServingConfig,
    now: Callable[[], float] = time.time,
    *,
    is_known: Callable[[str], bool] = lambda _did: False,
) -> Resolver:
    """Return the resolver of an installation; ``is_known`` tells whom it serves first.

    A directory on this machine means a private network. There did:web:localhost%3APORT is resolved too, and a did:web
    leads to this machine only.
    """
    directory = Fetcher(
        allowed=lambda _address: True, idle=IdleConnections(PLC_FETCHING.known), domain_lookups=None
    )
    web = Fetcher(allowed=is_loopback if config.on_loopback_network else is_public)
    return Resolver(
        {
            "plc": KeySource(
                partial(plc_target, config.plc_url),
                directory,
                Slots(PLC_SLOTS),
                PLC_KEYS,
                trusted=True,
                store=KeyStore(config.keys_path, STALE_SECONDS),
                fetching=Slots(PLC_FETCHING),
            ),
            "web": KeySource(web_target, web, Slots(WEB_SLOTS), WEB_KEYS, trusted=False),
        },
        now=now,
        is_known=is_known,
        changed=ChangedIdentities(config.removals_path).changed,
    )
