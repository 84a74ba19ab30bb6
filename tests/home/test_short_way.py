"""The short way of OPERATIONS.md, word for word: from a bare Debian to a feed whose record a real PDS has.

What differs from a VPS: the PLC directory, the PDS and its stream are on the machine's loopback, and Caddy's
certificate is of an authority of its own, since no public name leads here. A new VPS has sudo and a user; that is made
first.
"""

import contextlib
import importlib.util
import json
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from home.conftest import FOLDER, HOSTNAME, commands_of, copy_source, need
from home.machines import Machine, Network, plain_debian, run
from network.conftest import ATNET, INSTALLED
from streams import wait_until

TOOLS = ("debootstrap", "systemd-nspawn", "ip", "nsenter", "chroot", "git", "npm")
ADDRESS = "https://git.example.com/foryou"  # of the repository, as OPERATIONS.md has it
COPY = "/usr/local/src/foryou"
FEED_RKEY = "for-you"
AUTHORITY = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"
SKELETON = "app.bsky.feed.getFeedSkeleton"
# A stranger's feed needs nobody's help: the labeler, the AppView and the archive of the real network are not reached.
OUTSIDE = {"FORYOU_LABELERS": "", "FORYOU_ASK_PROFILES": "off", "SSL_CERT_FILE": "/home/anna/caddy.crt"}


@dataclass
class Place:
    """A VPS on which its user works, and the real network on its loopback."""

    machine: Machine
    control: Callable[..., Any]
    addresses: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)

    def shell(self, line: str, *, outside: bool = False) -> list[str]:
        """Return the command by which the user types a line; ``outside`` reaches Debian's and Python's packages."""
        kinds = ("--mount", "--uts", "--ipc", "--pid", "--root", "--wd")
        kept = kinds if outside else (*kinds, "--net")
        enter = ["nsenter", f"--target={self.machine._init()}", *kept, "--setuid=0", "--setgid=0"]
        values = [f"{name}={value}" for name, value in self.env.items()]
        # A login shell, so that ~/.profile counts as in a terminal.
        user = ["runuser", "-u", "anna", "--", "env", "-i", *values, "HOME=/home/anna", "LC_ALL=C.UTF-8",
                "PATH=/usr/local/bin:/usr/bin:/bin", "DEBIAN_FRONTEND=noninteractive"]  # fmt: skip
        return [*enter, *user, "sh", "-lc", f"cd; {line}"]

    def type(
        self, line: str, *, outside: bool = False, check: bool = True, seconds: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Let the user type a line and wait for its end."""
        result = subprocess.run(
            self.shell(line, outside=outside), capture_output=True, text=True, timeout=seconds, check=False
        )
        assert not check or result.returncode == 0, f"{line}\n{(result.stdout + result.stderr)[-3000:]}"
        return result


def act_out(control: Callable[..., Any]) -> tuple[dict[str, str], str]:
    """Let people post and like; return the publisher, and somebody who has a list of their own."""
    publisher, viewer, *people = control("accounts", n=14, prefix="short")

    def posts(count: int, words: str) -> list[dict[str, str]]:
        made = [
            {"did": people[number]["did"], "text": f"{words} {number}", "langs": ["en"]}
            for number in range(count)
        ]
        found: list[dict[str, str]] = control("posts", posts=made)
        return found

    def like(who: list[dict[str, str]], what: list[dict[str, str]]) -> None:
        control(
            "likes",
            likes=[
                {"did": each["did"], "uri": post["uri"], "cid": post["cid"]} for each in who for post in what
            ],
        )

    shared, unseen = posts(6, "a cat that all know, number"), posts(6, "a cat that one does not know, number")
    like([viewer, *people[6:]], shared)
    like(people[6:], unseen)
    return publisher, viewer["did"]


@pytest.fixture
def place() -> Iterator[Place]:
    need(TOOLS)
    if not ATNET.is_dir():
        pytest.skip(f"the recipe of a real network is not at {ATNET}")
    if not (INSTALLED / "net" / "node_modules").is_dir():
        run(ATNET / "setup.sh", INSTALLED)
    root, debian = FOLDER / "short", plain_debian(FOLDER)
    shutil.rmtree(root, ignore_errors=True)
    run("cp", "-a", debian, root)
    network = Network("foryou-short")
    machine = Machine(root, network)
    try:
        machine.install("apt-get update; apt-get install --yes --no-install-recommends sudo")
        machine.install(
            "useradd --create-home --shell /bin/bash anna\n"
            "echo 'anna ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/anna\n"
            f"echo 127.0.0.1 {HOSTNAME} >> /etc/hosts\n"
            "rm -rf /var/lib/apt/lists/*"  # as on the image of a new VPS
        )
        copy_source(root)
        for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "as it is"]):
            run(
                "git",
                "-C",
                root / COPY.lstrip("/"),
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@example.com",
                *words,
            )
        machine.install(f"chown -R anna: {COPY}")
        started = run("ip", "netns", "exec", network.name, ATNET / "start.sh", INSTALLED)
        addresses = json.loads(started.stdout)
        spec = importlib.util.spec_from_file_location("atnet_control", ATNET / "ctl.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        client = module.Ctl(addresses["control"])
        machine.boot()
        yield Place(machine, lambda name, **words: network.do(lambda: client(name, **words)), addresses)
    finally:
        machine.close()
        run(ATNET / "stop.sh", INSTALLED, check=False)
        network.close()


def test_from_a_bare_debian_to_a_published_feed(place: Place) -> None:
    publisher, viewer = act_out(place.control)
    password = place.control(
        "xrpc", method="POST", nsid="com.atproto.server.createAppPassword", did=publisher["did"],
        body={"name": "foryou"},
    )["password"]  # fmt: skip
    place.env |= OUTSIDE | {
        "FORYOU_PLC_URL": place.addresses["plc"], "FORYOU_STREAM_URL": place.addresses["firehose"],
        "FORYOU_STREAM_START_HOURS": "1000000", "FORYOU_CANDIDATES_MINUTES": "1",
    }  # fmt: skip
    lines = [
        line.replace(ADDRESS, COPY).replace("did:plc:...", publisher["did"])
        for line in commands_of("short").splitlines()
    ]
    after = commands_of("published").splitlines()
    took: list[tuple[str, float]] = []

    def timed(line: str, work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        result = work()
        took.append((line, time.monotonic() - began))
        return result

    wait_until(
        lambda: (
            place.machine.command("systemctl", "is-system-running", check=False).stdout.strip()
            in ("running", "degraded")
        ),
        60,
    )
    *set_up, up = lines
    assert (len(lines), up) == (5, "foryou up")
    for number, line in enumerate(set_up):
        inside = "" if number < 2 else "cd foryou; "
        timed(line, lambda line=inside + line, outside=number < 2: place.type(line, outside=outside))  # type: ignore[misc]
    # The one thing that differs: no name leads here, so the certificate is of an authority of the VPS's own.
    place.type("printf '{\\n local_certs\\n}\\n' | cat - /etc/caddy/Caddyfile | sudo tee /etc/caddy/new")
    place.type("sudo mv /etc/caddy/new /etc/caddy/Caddyfile; sudo systemctl reload-or-restart caddy")
    wait_until(lambda: (place.machine.root / AUTHORITY.lstrip("/")).exists(), 60)
    place.type(f"sudo install -m 0644 {AUTHORITY} {OUTSIDE['SSL_CERT_FILE']}")
    with (place.machine.root / "home/anna/up.log").open("wb") as log:
        running = subprocess.Popen(
            place.shell("cd foryou; foryou up & echo $! > ~/up.pid; wait $!"), stdout=log, stderr=log
        )
    try:
        place.env["FORYOU_APP_PASSWORD"] = password  # instead of the prompt
        status, doctor, publish = after
        began = time.monotonic()
        said: list[subprocess.CompletedProcess[str]] = []

        def is_well() -> bool:
            said.append(place.type(status, check=False))
            return said[-1].returncode == 0

        with contextlib.suppress(AssertionError):
            wait_until(is_well, 900)
        log_text = (place.machine.root / "home/anna/up.log").read_text()[-3000:]
        assert said[-1].returncode == 0, said[-1].stdout + said[-1].stderr + log_text
        took.append((f"{up}, until '{status}' says well", time.monotonic() - began))
        doctored = timed(doctor, lambda: place.type(doctor, check=False))
        published = timed(publish, lambda: place.type(publish, check=False))
        assert published.returncode == 0, published.stdout + published.stderr + doctored.stdout
        assert password not in published.stdout + published.stderr
        record = place.control(
            "xrpc", method="GET", nsid="com.atproto.repo.getRecord", did=publisher["did"],
            query={"repo": publisher["did"], "collection": "app.bsky.feed.generator", "rkey": FEED_RKEY},
        )["value"]  # fmt: skip
        assert (record["did"], record["displayName"]) == (f"did:web:{HOSTNAME}", "For You")
        token = place.control("serviceJwt", did=viewer, aud=f"did:web:{HOSTNAME}", lxm=SKELETON)["token"]
        feed = f"at://{publisher['did']}/app.bsky.feed.generator/{FEED_RKEY}"
        context = ssl.create_default_context(cafile=str(place.machine.root / "home/anna/caddy.crt"))
        client = httpx.Client(verify=context, trust_env=False)
        answer = place.machine.network.do(
            lambda: client.get(
                f"https://127.0.0.1/xrpc/{SKELETON}",
                params={"feed": feed, "limit": 30},
                headers={"Host": HOSTNAME, "Authorization": f"Bearer {token}"},
                extensions={"sni_hostname": HOSTNAME},
            )
        )
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["feed"]) == 6  # what the viewer's people liked and the viewer did not
        minutes = sum(seconds for _, seconds in took) / 60
        print(
            f"\n{len(lines) + len(after)} commands, {minutes:.1f} minutes, {len(page['feed'])} posts on the page"
        )
        for line, seconds in took:
            print(f"{seconds:6.1f} s  {line[:100]}")
        print(doctored.stdout)
    finally:
        place.type("kill $(cat ~/up.pid)", check=False)
        running.wait(60)
    assert running.returncode == 0
    assert re.search(r"stopped", (place.machine.root / "home/anna/up.log").read_text())
