"""``foryou simulate``: the simulated network as a command.

Owns: its flags, the line that it prints at the start, ending on a signal. Leaves to others: everything else.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime
from typing import BinaryIO

from pipeline.errors import SettingError
from pipeline.notify import service_manager
from pipeline.simulate.mischief.faults import Fault, parse_faults
from pipeline.simulate.parameters import CLUSTERING, WorldParameters, now_us
from pipeline.simulate.server.listener import SimulatorServer
from pipeline.simulate.timeline import World

DEFAULT_LISTEN = "127.0.0.1:6008"
FLAGS = (  # flag, default, metavar, help
    ("listen", DEFAULT_LISTEN, "HOST:PORT", "address; port 0 takes any free one"),
    ("users", "2000", "N", "people active in a week"),
    ("days", "7", "D", "days of history before the live events"),
    ("seed", "1", "N", "seed; the whole world is a function of it"),
    ("speed", "1", "X", "simulated seconds per second; 0 stops the clock"),
    ("clustering", "middle", "HOW", f"how strongly tastes differ: {', '.join(CLUSTERING)}"),
    ("communities", "24", "N", "communities of taste"),
    ("rubbish", "0.001", "SHARE", "share of malformed records"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``simulate``."""
    for flag, default, metavar, text in FLAGS:
        parser.add_argument(
            f"--{flag}", default=default, metavar=metavar, help=f"{text} (default %(default)s)"
        )
    parser.add_argument("--end", metavar="TIME", help="ISO time of the end of history (default now)")
    faults = f"do a fault after every N messages; kinds: {', '.join(Fault)}"
    parser.add_argument("--faults", default="", metavar="KIND:N,…", help=faults)
    parser.add_argument(
        "--write", metavar="FILE", help="write the history as JSON lines ('-': stdout) and exit"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the history, or serve until SIGTERM or SIGINT; SettingError when a flag is invalid."""
    parameters = WorldParameters(
        users=int(_number(arguments, "users", int)),
        days=_number(arguments, "days", float),
        seed=int(_number(arguments, "seed", int)),
        end_us=now_us() if arguments.end is None else _time_us(arguments.end),
        clustering=arguments.clustering,
        communities=int(_number(arguments, "communities", int)),
        rubbish=_number(arguments, "rubbish", float),
    )
    host, port = _listen(arguments.listen)
    speed = _number(arguments, "speed", float)
    if not 0 <= speed <= 1_000_000:
        raise SettingError(f"--speed = {arguments.speed}: it must be from 0 to 1000000")
    faults = parse_faults(arguments.faults)
    if arguments.write is not None:
        _write(World(parameters), arguments.write)
        return
    asyncio.run(_serve(SimulatorServer(World(parameters), speed, faults), host, port))


def _number(arguments: argparse.Namespace, name: str, kind: type[int] | type[float]) -> "int | float":
    text = getattr(arguments, name)
    try:
        return kind(text)
    except ValueError as error:
        raise SettingError(
            f"--{name} = {text!r}: it must be a {'whole ' if kind is int else ''}number"
        ) from error


def _time_us(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingError(
            f"--end = {text!r}: it must be an ISO time, such as 2026-07-04T12:00:00Z"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def _listen(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65_535:
        raise SettingError(f"--listen = {text!r}: it must be HOST:PORT, such as {DEFAULT_LISTEN}")
    return host.strip("[]"), int(port)


def _write(world: World, name: str) -> None:
    with contextlib.ExitStack() as stack:
        try:
            target: BinaryIO = sys.stdout.buffer if name == "-" else stack.enter_context(open(name, "wb"))
        except OSError as error:
            raise SettingError(f"--write = {name!r}: {error.strerror}") from error
        try:
            target.writelines(line + b"\n" for line in world.lines())
            target.flush()
        except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _serve(server: SimulatorServer, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    starting = asyncio.create_task(server.start(host, port))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # still making history
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    try:
        listening = starting.result()
    except OSError as error:
        raise SettingError(f"--listen = {host}:{port}: {error.strerror or error}") from error
    address = next(iter(listening.sockets)).getsockname()
    shown = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
    parameters = server.world.parameters
    print(
        f"simulate: listening on ws://{shown}/subscribe (DID documents at http://{shown}); "
        f"{parameters.users} users, {parameters.days:g} days, seed {parameters.seed}, "
        f"{server.world.event_count} events, speed {server.clock.speed:g}",
        file=sys.stderr,
        flush=True,
    )
    service_manager().ready()
    await stopping
    listening.close()
    await listening.wait_closed()
