"""The machines, set up by OPERATIONS.md's own commands: home, VPS, and the one that home moves to."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from home.machines import Machine, Network, cable, knows_wireguard, plain_debian, run
from streams import wait_until

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = Path(os.environ.get("FORYOU_HOME_SOURCE", PROJECT))
FOLDER = Path(os.environ.get("FORYOU_HOME_DIR", "/var/tmp/foryou-home"))
TOOLS = ("debootstrap", "systemd-nspawn", "ip", "nsenter", "chroot", "ssh-keygen")
HOSTNAME = "feed.example.com"
PUBLISHER = "did:plc:" + "p" * 24
WORLD = {"users": 400, "days": 2, "seed": 5}
ADDRESSES = {"home": "10.77.0.2", "vps": "10.77.0.1", "new": "10.77.0.3"}  # in the tailnet
CABLES = {"home": ("10.77.5.2", "10.77.5.1"), "new": ("10.77.6.2", "10.77.6.1")}  # to the VPS: theirs, its
SIMULATOR = "127.0.0.1:6008"


@dataclass
class Chain:
    """Home, VPS and the world around them."""

    home: Machine
    vps: Machine
    new: Machine
    world: Network
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def authority(self) -> Path:
        """The certificate of the VPS's own authority, once Caddy has made it."""
        return self.vps.root / "var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"


def commands_of(name: str) -> str:
    """Return the commands that OPERATIONS.md has under a name, in order: '```sh NAME', or '```sh NAME WHERE'."""
    text = (SOURCE / "OPERATIONS.md").read_text()
    blocks = re.findall(rf"^( *)```sh {name}(?: \w+)?\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    return "\n".join(textwrap.dedent(block) for _, block in blocks)


def write_values(machine: Machine, **more: str) -> None:
    """Do what OPERATIONS.md leaves to an editor: the values of the environment file."""
    path = machine.root / "etc/foryou/foryou.env"
    values = {
        "FORYOU_HOSTNAME": HOSTNAME,
        "FORYOU_PUBLISHER_DID": PUBLISHER,
        "FORYOU_LISTEN": f"{ADDRESSES['home']}:8080",
        **more,
    }
    lines = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in values]
    path.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]) + "\n")


def copy_source(root: Path) -> None:
    """Put the project where the set-up has it cloned to."""
    hidden = shutil.ignore_patterns(".*", "__pycache__", "data", "node_modules")
    shutil.copytree(SOURCE, root / "usr/local/src/foryou", ignore=hidden)


def make_tailnet(machines: dict[str, Machine]) -> None:
    """WireGuard between them, by OPERATIONS.md's commands and its files with keys and addresses filled in."""
    text = (SOURCE / "OPERATIONS.md").read_text()
    files = dict(re.findall(r"^```ini (\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    stand_in = "" if knows_wireguard() else "apt-get install --yes --no-install-recommends wireguard-go\n"
    private, public = {}, {}
    for name, machine in machines.items():
        machine.install(commands_of("wireguard") + stand_in)
        private[name] = (machine.root / "etc/wireguard/key").read_text().strip()
        public[name] = run(
            "chroot", machine.root, "sh", "-c", "wg pubkey < /etc/wireguard/key"
        ).stdout.strip()
    assert len(set(public.values())) == len(machines)
    interface, peer = re.split(r"(?=^\[Peer\])", files["vps"], flags=re.MULTILINE)
    # A peer of the VPS is home as it is there, and the machine that home moves to with an address of its own.
    peers = [
        peer.replace("(home's public key)", public[name]).replace(ADDRESSES["home"], ADDRESSES[name])
        for name in CABLES
    ]
    written = {"vps": interface.replace("(the VPS's private key)", private["vps"]) + "\n".join(peers)}
    for name, (_, vps) in CABLES.items():
        file = (
            files["home"]
            .replace("(home's private key)", private[name])
            .replace(ADDRESSES["home"], ADDRESSES[name])
        )
        written[name] = file.replace("(the VPS's public key)", public["vps"]).replace(
            "(the VPS's address)", vps
        )
    for name, machine in machines.items():
        assert "(" not in written[name]
        (machine.root / "etc/wireguard/wg0.conf").write_text(written[name])
        machine.install(commands_of("tunnel"))


def introduce(machines: dict[str, Machine]) -> None:
    """Let home's root reach the others by ssh under the names that OPERATIONS.md uses."""
    own = machines["home"].root / "root/.ssh"
    own.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", own / "id_ed25519"], check=True)
    (own / "config").write_text("StrictHostKeyChecking accept-new\n")
    with (machines["home"].root / "etc/hosts").open("a") as hosts:
        hosts.write(f"10.77.4.3 new\n{ADDRESSES['vps']} vps\n")
    for name in ("new", "vps"):
        folder = machines[name].root / "root/.ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(own / "id_ed25519.pub", folder / "authorized_keys")


def simulator(network: Network, end: str) -> subprocess.Popen[bytes]:
    """Start the stream and directory of a network that is live since ``end``; with one seed the same everywhere."""
    flags = [f"--{name}={value}" for name, value in WORLD.items()]
    return subprocess.Popen(
        ["ip", "netns", "exec", network.name, sys.executable, "-m", "pipeline.cli", "simulate",
         "--listen", SIMULATOR, "--end", end, "--speed", "1", *flags],
        cwd=SOURCE, env=os.environ | {"PYTHONPATH": str(SOURCE)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def need(tools: Sequence[str]) -> None:
    """Skip, saying what is missing, where machines can't be made."""
    if os.geteuid() != 0:
        pytest.skip("making machines and networks needs root")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not on this machine; see tests/home/README.md")


@pytest.fixture(scope="session")
def chain() -> Iterator[Chain]:
    need(TOOLS)
    debian = plain_debian(FOLDER)
    networks = {name: Network(f"foryou-{name}") for name in ("home", "vps", "new", "world")}
    for name, (its, vps) in CABLES.items():
        cable(networks[name], "wan", f"{its}/24", networks["vps"], f"to-{name}", f"{vps}/24")
    cable(networks["home"], "eth0", "10.77.1.2/24", networks["world"], "lan", "10.77.1.1/24")
    cable(networks["vps"], "eth0", "10.77.2.1/24", networks["world"], "eth0", "10.77.2.2/24")
    cable(networks["new"], "eth0", "10.77.4.3/24", networks["home"], "eth1", "10.77.4.2/24")
    machines = {}
    for name in ("home", "vps"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        subprocess.run(["cp", "-a", debian, FOLDER / name], check=True)
        copy_source(FOLDER / name)
        machines[name] = Machine(FOLDER / name, networks[name])
    machines["new"] = Machine(FOLDER / "new", networks["new"])
    chain = Chain(machines["home"], machines["vps"], machines["new"], networks["world"])
    simulators = []
    try:
        *set_up, start = re.split(r"(?<=systemctl daemon-reload\n)", commands_of("home"))
        chain.seconds["home"] = chain.home.install("".join(set_up))
        # The machine that home will move to is set up likewise, up to the commands that start anything.
        shutil.rmtree(FOLDER / "new", ignore_errors=True)
        subprocess.run(["cp", "-a", FOLDER / "home", FOLDER / "new"], check=True)
        chain.seconds["home"] += chain.home.install("cd /usr/local/src/foryou\n" + start)
        chain.seconds["vps"] = chain.vps.install(commands_of("vps"))
        write_values(
            chain.home,
            FORYOU_STREAM_URL=f"ws://{SIMULATOR}/subscribe",
            FORYOU_PLC_URL=f"http://{SIMULATOR}",
            FORYOU_STREAM_START_HOURS="1000000",
            FORYOU_LABELERS="",
            FORYOU_ASK_PROFILES="off",
            FORYOU_CANDIDATES_MINUTES="1",
            FORYOU_SERVE_WORKERS="2",
        )
        write_values(chain.vps)
        make_tailnet(machines)
        introduce(machines)
        # The one thing that differs: no name leads here, so the certificate is of an authority of the VPS's own.
        drop_in = chain.vps.root / "etc/systemd/system/caddy.service.d/test.conf"
        drop_in.write_text('[Service]\nEnvironment="CADDY_GLOBAL_OPTIONS=local_certs"\n')
        end = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        simulators = [simulator(networks[name], end) for name in ("home", "new")]
        for machine in machines.values():
            machine.boot()
        wait_until(chain.authority.exists, 60)
        yield chain
    finally:
        for machine in machines.values():
            machine.close()
        for process in simulators:
            process.terminate()
            process.wait()
        for network in networks.values():
            network.close()
