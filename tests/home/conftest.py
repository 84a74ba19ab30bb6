"""The two machines, set up by OPERATIONS.md's own commands."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from home.machines import Machine, Network, cable, plain_debian
from streams import wait_until

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = Path(os.environ.get("FORYOU_HOME_SOURCE", PROJECT))
FOLDER = Path(os.environ.get("FORYOU_HOME_DIR", "/var/tmp/foryou-home"))
TOOLS = ("debootstrap", "systemd-nspawn", "ip", "nsenter", "chroot")
HOSTNAME = "feed.example.com"
PUBLISHER = "did:plc:" + "p" * 24
WORLD = {"users": 400, "days": 2, "seed": 5}
SIMULATOR = "127.0.0.1:6008"


@dataclass
class Chain:
    """Home, VPS and the world around them."""

    home: Machine
    vps: Machine
    world: Network
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def authority(self) -> Path:
        """The certificate of the VPS's own authority, once Caddy has made it."""
        return self.vps.root / "var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"


def commands_of(machine: str) -> str:
    """Return the commands that OPERATIONS.md has for a machine, in order."""
    text = (SOURCE / "OPERATIONS.md").read_text()
    blocks = re.findall(rf"^```sh {machine}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    return "\n".join(blocks)


def write_values(machine: Machine, **more: str) -> None:
    """Do what OPERATIONS.md leaves to an editor: the values of the environment file."""
    path = machine.root / "etc/foryou/foryou.env"
    values = {
        "FORYOU_HOSTNAME": HOSTNAME,
        "FORYOU_PUBLISHER_DID": PUBLISHER,
        "FORYOU_LISTEN": "10.77.0.2:8080",
        **more,
    }
    lines = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in values]
    path.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]) + "\n")


def copy_source(root: Path) -> None:
    """Put the project where the set-up has it cloned to."""
    hidden = shutil.ignore_patterns(".*", "__pycache__", "data", "node_modules")
    shutil.copytree(SOURCE, root / "usr/local/src/foryou", ignore=hidden)


@pytest.fixture(scope="session")
def chain() -> Iterator[Chain]:
    if os.geteuid() != 0:
        pytest.skip("making machines and networks needs root")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not on this machine; see tests/home/README.md")
    debian = plain_debian(FOLDER)
    networks = {name: Network(f"foryou-{name}") for name in ("home", "vps", "world")}
    cable(networks["home"], "wg0", "10.77.0.2/24", networks["vps"], "wg0", "10.77.0.1/24")
    cable(networks["home"], "eth0", "10.77.1.2/24", networks["world"], "lan", "10.77.1.1/24")
    cable(networks["vps"], "eth0", "10.77.2.1/24", networks["world"], "eth0", "10.77.2.2/24")
    machines = {}
    for name in ("home", "vps"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        subprocess.run(["cp", "-a", debian, FOLDER / name], check=True)
        copy_source(FOLDER / name)
        machines[name] = Machine(FOLDER / name, networks[name])
    chain = Chain(machines["home"], machines["vps"], networks["world"])
    simulator = None
    try:
        for name, machine in machines.items():
            chain.seconds[name] = machine.install(commands_of(name))
        write_values(
            chain.home,
            FORYOU_STREAM_URL=f"ws://{SIMULATOR}/subscribe",
            FORYOU_PLC_URL=f"http://{SIMULATOR}",
            FORYOU_STREAM_START_HOURS="1000000",
            FORYOU_CANDIDATES_MINUTES="1",
        )
        write_values(chain.vps)
        # The one thing that differs: no name leads here, so the certificate is of an authority of the VPS's own.
        drop_in = chain.vps.root / "etc/systemd/system/caddy.service.d/test.conf"
        drop_in.write_text('[Service]\nEnvironment="CADDY_GLOBAL_OPTIONS=local_certs"\n')
        flags = [f"--{name}={value}" for name, value in WORLD.items()]
        simulator = subprocess.Popen(
            ["ip", "netns", "exec", networks["home"].name, sys.executable, "-m", "pipeline.cli", "simulate",
             "--listen", SIMULATOR, *flags],
            cwd=SOURCE, env=os.environ | {"PYTHONPATH": str(SOURCE)}, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        chain.home.boot()
        chain.vps.boot()
        wait_until(chain.authority.exists, 60)
        yield chain
    finally:
        for machine in machines.values():
            machine.close()
        if simulator is not None:
            simulator.terminate()
            simulator.wait()
        for network in networks.values():
            network.close()
