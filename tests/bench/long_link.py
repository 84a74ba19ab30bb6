"""Two network namespaces with a slow and long link between them, for benchmarks of several machines. Needs root.

Owns: ``LongLink``: a TUN device in each namespace, and a process that carries packets between the two, each so much
later and no faster than a rate. Leaves to others: the namespaces (``home.machines``), and what runs at either end
(``LongLink.at``). The kernel has queues for this (``tc`` with netem); this needs none of its modules.

A packet waits for those before it, as long as the rate says, and then arrives after the delay. Nothing is lost.
"""

import fcntl
import heapq
import multiprocessing
import os
import select
import struct
import sys
import time
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from home.machines import Network, run

TUN = "/dev/net/tun"
SET_NAME = 0x400454CA  # TUNSETIFF
NO_HEADERS, IS_TUN = 0x1000, 0x0001
PACKET = 65_535
NAMES = ("foryou-near", "foryou-far")
ADDRESSES = ("10.77.0.1", "10.77.0.2")


class LongLink:
    """Two namespaces while it is open; ``delay`` is in seconds each way, ``rate`` in bits a second."""

    def __init__(self, delay: float, rate: float) -> None:
        self.delay, self.rate = delay, rate
        self.carried: Any = RawArray("q", 2)  # bytes that came to each end

    def __enter__(self) -> Self:
        self._networks = [Network(name) for name in NAMES]
        devices = []
        for network, address in zip(self._networks, ADDRESSES, strict=True):
            device = network.name.replace("foryou", "tun")
            devices.append(_device(device))
            run("ip", "link", "set", device, "netns", network.name)
            network.ip("address", "add", f"{address}/24", "dev", device)
            network.ip("link", "set", device, "up", "mtu", "9000", "txqueuelen", "10000")
        self._process = multiprocessing.get_context("fork").Process(
            target=self._carry, args=(devices,), daemon=True
        )
        self._process.start()
        for device in devices:
            os.close(device)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        for network in self._networks:
            network.close()

    @staticmethod
    def at(end: int) -> tuple[str, ...]:
        """Return what a command begins with so that it runs at an end, 0 or 1."""
        return ("ip", "netns", "exec", NAMES[end])

    def _carry(self, devices: list[int]) -> None:
        """Take packets from either device, and give them to the other when it is their time."""
        waiting: list[tuple[float, int, int, bytes]] = []
        free_at, number = [0.0, 0.0], 0
        while True:
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, _, end, packet = heapq.heappop(waiting)
                os.write(devices[end], packet)
            timeout = max(waiting[0][0] - now, 0.0) if waiting else None
            for device in select.select(devices, [], [], timeout)[0]:
                packet = os.read(device, PACKET)
                end = 1 - devices.index(device)
                self.carried[end] += len(packet)
                free_at[end] = max(free_at[end], time.monotonic()) + len(packet) * 8 / self.rate
                number += 1
                heapq.heappush(waiting, (free_at[end] + self.delay, number, end, packet))


def _device(name: str) -> int:
    """Make a TUN device; it is there as long as what is returned is open."""
    device = os.open(TUN, os.O_RDWR)
    fcntl.ioctl(device, SET_NAME, struct.pack("16sH22x", name.encode(), IS_TUN | NO_HEADERS))
    return device
