"""Machines of their own on this one: Debian roots with their own systemd and network, and threads within a
network.

Owns: making, booting, commanding and ending them. Leaves to the tests: what is installed there.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
MOUNTS = ("proc", "sys", "dev")
CGROUPS = Path("/sys/fs/cgroup")
# Of the older kind of control groups, one tree each; the newer kind has them all in one.
CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "blkio")
ENVIRONMENT = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
    "SYSTEMD_OFFLINE=1",
)


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, f"{command[0]}: {(result.stdout + result.stderr)[-3000:]}"
    return result


def plain_debian(folder: Path) -> Path:
    """Return a fresh Debian, made once."""
    root = folder / "debian"
    packages = "ca-certificates,systemd-sysv,iproute2,openssh-server,rsync"
    if not (root / "made").exists() or (root / "made").read_text() != packages:
        shutil.rmtree(root, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        run(
            "debootstrap",
            "--variant=minbase",
            f"--include={packages}",
            "bookworm",
            root,
        )
        # Where downloads go through a proxy that has an authority of its own, this machine knows it.
        own = Path("/usr/local/share/ca-certificates")
        if own.is_dir():
            shutil.copytree(own, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
            run("chroot", root, "update-ca-certificates")
        # What the installer does and debootstrap does not.
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        (root / "made").write_text(packages)
    return root


@dataclass
class Network:
    """A network namespace, and threads that live in it."""

    name: str
    threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        run("ip", "netns", "delete", self.name, check=False)
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        self.threads = ThreadPoolExecutor(4, initializer=self._enter)

    def ip(self, *arguments: str) -> None:
        run("ip", "-n", self.name, *arguments)

    def do(self, work: Callable[[], T]) -> T:
        """Run something in a thread whose connections begin in this network."""
        return self.threads.submit(work).result()

    def close(self) -> None:
        self.threads.shutdown(wait=False)
        run("ip", "netns", "delete", self.name, check=False)

    def _enter(self) -> None:
        descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        assert ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) == 0
        os.close(descriptor)


def knows_wireguard() -> bool:
    """Whether this machine's kernel has WireGuard; where not, wireguard-go does the same in a program."""
    name = "foryou-try"
    known = run("ip", "link", "add", name, "type", "wireguard", check=False).returncode == 0
    run("ip", "link", "delete", name, check=False)
    return known


def cable(one: Network, name: str, address: str, other: Network, other_name: str, other_address: str) -> None:
    """Connect two networks."""
    run("ip", "link", "add", name, "netns", one.name, "type", "veth", "peer", other_name, "netns", other.name)
    for network, device, its in ((one, name, address), (other, other_name, other_address)):
        network.ip("address", "add", its, "dev", device)
        network.ip("link", "set", device, "up")


def own_groups() -> list[Path]:
    """Return the control groups of this process: one, or of the older kind one in each tree that matters here."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            tree = "unified" if (CGROUPS / "unified").exists() else ""
        else:
            tree = controllers.removeprefix("name=")
        if tree in ("", "unified", "systemd", *CONTROLLERS):
            found.append(CGROUPS / tree / path.lstrip("/"))
    return found


@dataclass
class Machine:
    """A Debian root that can be set up, booted, commanded, and lose its power."""

    root: Path
    network: Network
    process: subprocess.Popen[bytes] | None = None

    def install(self, script: str) -> float:
        """Run a shell script in the root before it is booted; return the seconds it took."""
        began = time.monotonic()
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        # Mounts of its own, which end with it; systemctl enables units there, and starts none.
        mounts = "; ".join(f"mount --rbind /{name} {self.root}/{name}" for name in MOUNTS)
        run("unshare", "--mount", "--propagation=private", "env", "-i", *ENVIRONMENT, "sh", "-euc",
            f'{mounts}; exec chroot {self.root} sh -eux -c "$0"', script)  # fmt: skip
        return time.monotonic() - began

    def boot(self) -> None:
        """Start it; returns at once."""
        namespace = f"/run/netns/{self.network.name}"
        log = (self.root.parent / f"{self.root.name}.console").open("ab")
        # Control groups of its own: machines would else share those of units that have one name.
        groups = self._groups()
        for group in groups:
            group.mkdir(exist_ok=True)
        enter = 'for group in $0; do echo $$ > $group/cgroup.procs; done; exec "$@"'
        self.process = subprocess.Popen(
            ["sh", "-euc", enter, " ".join(map(str, groups)),
             "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe", "--boot",
             "--capability=CAP_NET_ADMIN", f"--directory={self.root}", f"--machine={self.network.name}",
             f"--network-namespace-path={namespace}", "--bind=/dev/net/tun"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()

    def command(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the booted machine."""
        inside = ("nsenter", f"--target={self._init()}", "--all", "env", "-i", *ENVIRONMENT[:3])
        return run(*inside, *command, check=check)

    def script(self, script: str) -> None:
        """Run a shell script in the booted machine, as an administrator would type it."""
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.command("env", f"PATH={path}", "HOME=/root", "sh", "-eux", "-c", script)

    def limit(self) -> None:
        """Let its systemd set the units' limits.

        systemd-nspawn mounts control groups of the older kind so that nobody inside can change them, and systemd then
        does without. Here they are made writable, and systemd looks again. Of the newer kind it has its own anyway.
        """
        if (CGROUPS / "cgroup.controllers").exists():
            return
        for name in CONTROLLERS:
            self.command("mount", "-o", "remount,bind,rw", f"/sys/fs/cgroup/{name}")
        self.command("systemctl", "daemon-reexec")
        # Groups are made when units start.
        self.command("systemctl", "restart", "foryou.target")

    def cut_power(self) -> None:
        """End everything in it at once."""
        os.kill(self._init(), signal.SIGKILL)
        assert self.process is not None
        self.process.wait()
        self.process = None
        deadline = time.monotonic() + 10
        while any(group.exists() for group in self._groups()) and time.monotonic() < deadline:
            for group in self._groups():
                for folder, _, _ in os.walk(group, topdown=False):
                    with contextlib.suppress(OSError):  # its last processes are just ending
                        os.rmdir(folder)

    def _groups(self) -> list[Path]:
        return [group / self.network.name for group in own_groups()]

    def close(self) -> None:
        """End it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.cut_power()

    def _init(self) -> int:
        assert self.process is not None
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for child in (
                Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            ):
                if re.search(r"systemd$", run("readlink", f"/proc/{child}/exe", check=False).stdout.strip()):
                    return int(child)
            time.sleep(0.1)
        raise AssertionError(f"{self.root} did not boot; see {self.root}.console")
