"""Where an installation's viewers' keys come from: its directory, and did:web hosts on the public internet.

Owns: the numbers (how many requests may wait for each, how many fetch at once, how many keys are kept), and which
addresses are allowed. Leaves to others: resolving (``resolver``).
"""

import threading
import time
from collections.abc import Callable
from functools import partial

from serving.config import ServingConfig, is_loopback
from serving.identity.dids import plc_target, web_target
from serving.identity.fetch import Fetcher
from serving.identity.idle_connections import IdleConnections
from serving.identity.key_store import KeyStore
from serving.identity.public_addresses import is_public
from serving.identity.resolver import STALE_SECONDS, KeySource, Resolver

PLC_SLOTS = 128  # a waiting thread costs little, and thousands of newcomers may come within a minute
PLC_FETCHING = 24  # at 30 ms each, 800 newcomers a second
WEB_SLOTS = 12
SLOTS = PLC_SLOTS + WEB_SLOTS
KEYS_MAX = 100_000  # in memory; the others are still on disk
WEB_KEYS_MAX = 5_000


def default_resolver(config: ServingConfig, now: Callable[[], float] = time.time) -> Resolver:
    """Return the resolver of an installation.

    A directory on this machine means a private network. There did:web:localhost%3APORT is resolved too, and a did:web
    leads to this machine only.
    """
    directory = Fetcher(allowed=lambda _address: True, idle=IdleConnections(PLC_FETCHING))
    web = Fetcher(allowed=is_loopback if config.on_loopback_network else is_public)
    return Resolver(
        {
            "plc": KeySource(
                partial(plc_target, config.plc_url),
                directory,
                threading.Semaphore(PLC_SLOTS),
                KEYS_MAX,
                trusted=True,
                store=KeyStore(config.keys_path, STALE_SECONDS),
                fetching=threading.Semaphore(PLC_FETCHING),
            ),
            "web": KeySource(web_target, web, threading.Semaphore(WEB_SLOTS), WEB_KEYS_MAX, trusted=False),
        },
        now=now,
    )
