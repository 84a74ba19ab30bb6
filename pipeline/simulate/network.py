"""A simulated network in a thread, for tests and demonstrations within one process.

Owns: the thread, its start and its end. Leaves to others: the server (``listener``).
"""

import asyncio
import threading
from types import TracebackType

from pipeline.simulate.mischief.faults import parse_faults
from pipeline.simulate.server.accounts import account_of, mint_token
from pipeline.simulate.server.labeler import Labeler
from pipeline.simulate.server.listener import SimulatorServer
from pipeline.simulate.timeline import World, WorldParameters


class SimulatedNetwork:
    """``with SimulatedNetwork(WorldParameters(users=100, days=1)) as network: …network.stream_url…``

    A world that exists already can be given instead of parameters. ``faults`` is the text of ``--faults``; ``speed`` 0
    stops the clock at the end of history. History is made before the block is entered. Tests may look at ``world``,
    ``server`` and, once it listens, ``listening`` (the websockets server).
    """

    def __init__(
        self, parameters: "WorldParameters | World", faults: str = "", speed: float = 1.0, port: int = 0
    ) -> None:
        self.world = parameters if isinstance(parameters, World) else World(parameters)
        self.server = SimulatorServer(self.world, speed, parse_faults(faults))
        self.port = port
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="simulated-network", daemon=True)

    @property
    def stream_url(self) -> str:
        """The address of the Jetstream."""
        return f"ws://127.0.0.1:{self.port}/subscribe"

    @property
    def plc_url(self) -> str:
        """The address of the PLC directory and of the simulator's pages."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def labeler(self) -> Labeler:
        """The network's labeler."""
        return self.server.labeler

    def now_us(self) -> int:
        """Return the world's time."""
        return self.server.clock.now_us()

    def token(self, did: str, aud: str, lxm: str | None, seconds: int = 60) -> str:
        """Return a service token of a person; KeyError when no person has the DID."""
        account = account_of(self.world.people, did)
        if account is None:
            raise KeyError(did)
        return mint_token(account, aud, lxm, seconds)

    def __enter__(self) -> "SimulatedNetwork":
        """Start, and return once the server listens."""
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and close all connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # raised in the thread that waits in __enter__
            self._failure = error
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = self.listening = await self.server.start("127.0.0.1", self.port)
        self.port = next(iter(server.sockets)).getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        await server.wait_closed()
