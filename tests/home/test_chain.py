"""The whole chain as OPERATIONS.md sets it up: world, VPS, tailnet, home; and what happens when home goes away."""

import contextlib
import itertools
import json
import os
import shutil
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from home.conftest import ADDRESSES, HOSTNAME, PUBLISHER, WORLD, Chain, commands_of, write_values
from home.machines import Machine
from streams import wait_until

from pipeline.simulate.server.accounts import account_of, mint_token
from pipeline.simulate.timeline import World, WorldParameters

SERVICE_DID = f"did:web:{HOSTNAME}"
FEED = f"at://{PUBLISHER}/app.bsky.feed.generator/for-you"
SKELETON = "/xrpc/app.bsky.feed.getFeedSkeleton"
INTERACTIONS = "/xrpc/app.bsky.feed.sendInteractions"
BACK_SECONDS = 60
AWAY_SECONDS = 2.0
MOVE_SECONDS = 60.0


@dataclass
class Outsider:
    """Somebody in the world who asks the VPS."""

    chain: Chain
    people: Any
    client: httpx.Client

    def get(self, path: str, viewer: str | None = None, **query: Any) -> httpx.Response:
        """One request over TLS, signed by a viewer or anonymous."""
        headers = {"Host": HOSTNAME, "User-Agent": "BskyAppView", "Accept-Language": "en"}
        if viewer is not None:
            account = account_of(self.people, viewer)
            assert account is not None
            token = mint_token(account, SERVICE_DID, "app.bsky.feed.getFeedSkeleton")
            headers["Authorization"] = f"Bearer {token}"
        return self.chain.world.do(
            lambda: self.client.get(
                f"https://10.77.2.1{path}",
                params=query,
                headers=headers,
                extensions={"sni_hostname": HOSTNAME},
            )
        )

    def page(self, viewer: str | None = None, **query: Any) -> list[str]:
        """A page of the feed, which must be one that Bluesky's servers accept."""
        answer = self.get(SKELETON, viewer, feed=FEED, limit=30, **query)
        assert answer.status_code == 200, answer.text
        return posts_of(answer)


def posts_of(answer: httpx.Response) -> list[str]:
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert isinstance(body.get("cursor", ""), str)
    posts = [item["post"] for item in body["feed"]]
    assert all(post.startswith("at://did:") and "/app.bsky.feed.post/" in post for post in posts)
    assert len(posts) == len(set(posts))
    return posts


@pytest.fixture(scope="module")
def outsider(chain: Chain) -> Iterator[Outsider]:
    people = World(WorldParameters(**WORLD)).people  # type: ignore[arg-type]
    context = ssl.create_default_context(cafile=str(chain.authority))
    client = chain.world.do(lambda: httpx.Client(verify=context, timeout=10, trust_env=False))
    outsider = Outsider(chain, people, client)
    wait_until(lambda: has_lists(outsider), 300)
    yield outsider
    client.close()


def has_lists(outsider: Outsider) -> bool:
    with contextlib.suppress(httpx.TransportError):
        answer = outsider.get("/health")
        return answer.status_code == 200 and answer.json()["lists"] > 10
    return False


@pytest.fixture(scope="module")
def viewer(outsider: Outsider) -> str:
    """Somebody with a list of their own."""
    popular = outsider.page()
    return next(did for did in outsider.people.dids if outsider.page(did)[:5] not in ([], popular[:5]))


@dataclass
class Reader:
    """Asks for a viewer's feed all the time and notes every answer: when, how long it took, the page's id.

    The web app gives every page an id of its own, so a page that comes more than once is the kept one of away.
    """

    outsider: Outsider
    viewer: str
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    ids: Counter[str] = field(default_factory=Counter)
    done: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        while not self.done.wait(0.05):
            began = time.monotonic()
            try:
                answer = self.outsider.get(SKELETON, self.viewer, feed=FEED, limit=30)
                assert answer.status_code == 200, answer.text
                assert posts_of(answer) != []
            except Exception as error:
                self.failures.append(repr(error))
                continue
            page_id = answer.json()["reqId"]
            self.ids[page_id] += 1
            self.answers.append((began, time.monotonic() - began, page_id))

    def since(self, moment: float, *, theirs: bool) -> float | None:
        """Seconds from a moment to the end of the first request begun after it that gave such a page."""
        for began, seconds, page_id in list(self.answers):
            if began >= moment and (self.ids[page_id] == 1) == theirs:
                return began + seconds - moment
        return None


@contextlib.contextmanager
def reading(outsider: Outsider, viewer: str) -> Iterator[Reader]:
    reader = Reader(outsider, viewer)
    thread = threading.Thread(target=reader.read)
    thread.start()
    try:
        wait_until(lambda: reader.since(0, theirs=True) is not None)
        yield reader
    finally:
        reader.done.set()
        thread.join()


def test_a_signed_page_goes_through(chain: Chain, outsider: Outsider, viewer: str) -> None:
    print(f"\nset-up took {', '.join(f'{name} {took:.0f} s' for name, took in chain.seconds.items())}")
    times = []
    for _ in range(50):
        began = time.monotonic()
        page = outsider.page(viewer)
        times.append(time.monotonic() - began)
        assert len(page) == 30
    print(f"a signed page over TLS, VPS and link: median {sorted(times)[25] * 1000:.1f} ms")
    document = outsider.get("/.well-known/did.json").json()
    assert document["id"] == SERVICE_DID
    assert document["service"][0]["serviceEndpoint"] == f"https://{HOSTNAME}"
    assert outsider.get(SKELETON, feed=FEED, limit=30, cursor="x").status_code == 400
    assert outsider.get("/").status_code == 200
    for path in ("/viewers", "/dashboard", "/anything"):
        assert outsider.get(path).status_code == 404
    assert outsider.get("/health").headers.get("server") is None


def test_wrong_tokens_are_refused_at_home(outsider: Outsider) -> None:
    wrong = {"Host": HOSTNAME, "Authorization": "Bearer a.b.c"}
    answer = outsider.chain.world.do(
        lambda: outsider.client.get(
            f"https://10.77.2.1{SKELETON}",
            params={"feed": FEED},
            headers=wrong,
            extensions={"sni_hostname": HOSTNAME},
        )
    )
    assert answer.status_code == 401


def test_anonymous_answers_are_kept_for_a_while(outsider: Outsider, viewer: str) -> None:
    def page_id(who: str | None) -> str:
        return str(outsider.get(SKELETON, who, feed=FEED, limit=30).json()["reqId"])

    assert page_id(None) == page_id(None)  # the web app gives each page a random one
    assert page_id(viewer) != page_id(viewer)


def test_home_is_reached_over_the_tailnet_alone(chain: Chain, outsider: Outsider) -> None:
    def connects(address: tuple[str, int]) -> bool:
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            return False
        return True

    assert chain.vps.network.do(lambda: connects(("10.77.0.2", 8080)))
    # A neighbour who sends packets for the tailnet's address to the PC's other card gets no answer.
    chain.world.ip("route", "add", "10.77.0.2", "via", "10.77.1.2")
    assert not chain.world.do(lambda: connects(("10.77.0.2", 8080)))
    assert not chain.world.do(lambda: connects(("10.77.1.2", 8080)))
    assert not chain.world.do(lambda: connects(("10.77.2.1", 8081)))
    assert not chain.world.do(lambda: connects(("10.77.2.1", 8082)))


def test_units_run_as_they_are_meant_to(chain: Chain, outsider: Outsider) -> None:
    for part in ("ingest", "schedule", "serve"):
        shown = chain.home.command(
            "systemctl",
            "show",
            f"foryou-{part}",
            "--property=ActiveState,User,MemoryMax,NRestarts,WatchdogUSec",
        ).stdout
        assert "ActiveState=active" in shown, shown
        assert "User=foryou" in shown
        assert "MemoryMax=infinity" not in shown
        assert "NRestarts=0" in shown, shown
    status = chain.home.command("/usr/local/bin/foryou", "status", check=False).stdout
    assert "closed days" in status
    chain.home.command("systemctl", "start", "foryou-backup")
    assert "backup.json" in chain.home.command("sh", "-c", "ls /var/backups/foryou/*Z").stdout


def test_a_page_says_why(chain: Chain, viewer: str) -> None:
    """In its unit, too: it computes the list anew, and the first time compiles the loops for it."""
    ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"
    address = f"http://127.0.0.1:8090/why?viewer={viewer}"

    def page() -> str:
        return chain.home.command("/opt/foryou/bin/python", "-c", ask, address, check=False).stdout

    wait_until(lambda: 'class="place"' in page(), 300)


def test_doctor_at_home(chain: Chain, outsider: Outsider) -> None:
    """All is well but for what is not there: a record at Bluesky, a lasting certificate, a clock, a new Caddy."""
    with (chain.home.root / "etc/hosts").open("a") as hosts:
        hosts.write(f"10.77.0.1 {HOSTNAME}\n")
    shutil.copy(chain.authority, chain.home.root / "etc/ssl/vps.crt")
    (chain.home.root / "etc/ssl/vps.crt").chmod(0o644)

    def states() -> dict[str, str]:
        told = chain.home.command(
            "env", "SSL_CERT_FILE=/etc/ssl/vps.crt", "/usr/local/bin/foryou", "doctor", "--json", check=False
        ).stdout
        found = {finding["check"]: finding["state"] for finding in json.loads(told)}
        found.pop("lake")  # so small a network closes no day so soon
        return found

    known = dict.fromkeys(("certificate", "feed record", "proxy"), "wrong")
    known |= dict.fromkeys(("clock", "signed fetch", "AppView"), "skipped")  # the last two need the record
    known |= dict.fromkeys(("rules", "exchange", "nodes", "labelers"), "skipped")  # not in use here
    wait_until(lambda: (found := states()) == dict.fromkeys(found, "ok") | known, 60)


def workers_of(machine: Machine) -> set[str]:
    """The process ids of the web app's workers."""
    pid = machine.command("systemctl", "show", "foryou-serve", "--property=MainPID", "--value").stdout.strip()
    return set(machine.command("cat", f"/proc/{pid}/task/{pid}/children").stdout.split())


def test_a_reload_puts_new_workers_in_place_and_loses_nothing(
    chain: Chain, outsider: Outsider, viewer: str
) -> None:
    former = workers_of(chain.home)
    assert len(former) == 2
    with reading(outsider, viewer) as reader:
        chain.home.command("systemctl", "reload", "foryou-serve")
        wait_until(lambda: len(now := workers_of(chain.home)) == 2 and not now & former, 60)
        seen = len(reader.answers)
        wait_until(lambda: len(reader.answers) > seen + 10)
    assert reader.failures == []
    assert max(reader.ids.values()) == 1  # never the page of away


UNITS = {"serve": (2 << 30, 1000), "ingest": (2 << 30, 300), "schedule": (16 << 30, 30)}
SPIN = """
import sys, time
with open(f"/sys/fs/cgroup/cpu/foryou.slice/foryou-{sys.argv[1]}.service/cgroup.procs", "w") as group:
    group.write("0")
begin = float(sys.argv[2])
time.sleep(max(0, begin - time.time()))
used = time.process_time()
while time.time() < begin + 5:
    pass
print(time.process_time() - used)
"""


def group(part: str, controller: str, name: str) -> str:
    """What a unit's control group says."""
    return f"/sys/fs/cgroup/{controller}/foryou.slice/foryou-{part}.service/{name}"


def test_the_limits_hold(chain: Chain, outsider: Outsider, viewer: str) -> None:
    """The batch beyond its memory is ended, and in need of the processor it waits; nobody else notices."""
    home = chain.home
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("written for control groups of the older kind")
    home.limit()
    wait_until(lambda: home.command("cat", group("serve", "pids", "tasks"), check=False).returncode == 0, 60)

    def said(part: str, controller: str, name: str) -> str:
        return home.command("cat", group(part, controller, name)).stdout

    for part, (memory, weight) in UNITS.items():
        assert int(said(part, "memory", "memory.limit_in_bytes")) == memory
        assert int(said(part, "cpu", "cpu.shares")) == weight * 1024 // 100
    wait_until(lambda: has_lists(outsider), 60)
    threads = int(said("serve", "pids", "pids.current"))
    print(f"\ntwo workers: {threads} tasks of {said('serve', 'pids', 'pids.max').strip()}")

    def killed() -> int:
        return int(said("schedule", "memory", "memory.oom_control").split()[-1])

    def limit(most: str) -> None:
        home.command("systemctl", "set-property", "--runtime", "foryou-schedule", f"MemoryMax={most}")

    with reading(outsider, viewer) as reader:
        before = killed()

        def is_small() -> bool:
            """Leave a run 32 MiB beside what the scheduler has by itself, which is known when nothing runs."""
            lines = said("schedule", "memory", "memory.stat").splitlines()
            [own] = [int(line.split()[1]) >> 20 for line in lines if line.startswith("total_rss ")]
            processes = said("schedule", "memory", "cgroup.procs").split()
            if len(processes) > 1 or own < 20:  # or it is just starting
                return False
            for most in ("16G", f"{own + 32}M"):  # refused if a run has begun meanwhile and holds more
                limit(most)
            return int(said("schedule", "memory", "memory.limit_in_bytes")) == own + 32 << 20

        try:
            wait_until(is_small, 240)
            wait_until(lambda: killed() > before, 240)
        finally:
            limit("16G")
        generation = outsider.get("/health").json()["generation"]
        wait_until(lambda: outsider.get("/health").json()["generation"] > generation, 180)
    assert reader.failures == []
    assert max(reader.ids.values()) == 1  # never the page of away
    slowest = max(seconds for _, seconds, _ in reader.answers)
    print(f"a batch ended by its limit: {len(reader.answers)} requests, none failed, slowest {slowest:.2f} s")
    for part in ("ingest", "serve"):
        assert "oom_kill 0\n" in said(part, "memory", "memory.oom_control")

    # On every core one of the web app and two of the batch, from the same moment on.
    begin = str(time.time() + 5)
    cores = [core for core in sorted(os.sched_getaffinity(0)) for _ in UNITS]
    with ThreadPoolExecutor(len(cores)) as pool:
        spinning = [
            pool.submit(
                home.command, "taskset", "-c", str(core), "/opt/foryou/bin/python", "-c", SPIN, part, begin
            )
            for core, part in zip(cores, itertools.cycle(("serve", "schedule", "schedule")), strict=False)
        ]
        seconds = [float(done.result().stdout) for done in spinning]
    web_app = sum(seconds[::3])
    batch = sum(seconds) - web_app
    print(
        f"processor, two of the batch against one of the web app on each core: {batch / web_app:.3f} of its time"
    )
    assert batch < web_app / 10


def stop_web_app(chain: Chain) -> None:
    chain.home.command("systemctl", "stop", "foryou-serve")


def start_web_app(chain: Chain) -> None:
    chain.home.command("systemctl", "start", "foryou-serve")


def cut_link(chain: Chain) -> None:
    # Below the tailnet and at home's end, so that the VPS goes on sending into the void, also on open connections.
    chain.home.network.ip("link", "set", "wan", "down")


def mend_link(chain: Chain) -> None:
    chain.home.network.ip("link", "set", "wan", "up")


def freeze_web_app(chain: Chain) -> None:
    chain.home.command("systemctl", "kill", "--signal=STOP", "foryou-serve")


def thaw_web_app(chain: Chain) -> None:
    chain.home.command("systemctl", "kill", "--signal=CONT", "foryou-serve")


def cut_power(chain: Chain) -> None:
    chain.home.cut_power()


def boot(chain: Chain) -> None:
    chain.home.boot()


@pytest.mark.parametrize(
    ("leave", "come_back"),
    [(stop_web_app, start_web_app), (cut_link, mend_link), (freeze_web_app, thaw_web_app), (cut_power, boot)],
    ids=["stopped", "link cut", "frozen", "power cut"],
)
def test_home_goes_away_and_comes_back(
    chain: Chain, outsider: Outsider, viewer: str, leave: Any, come_back: Any
) -> None:
    with reading(outsider, viewer) as reader:
        leaving = time.monotonic()
        leave(chain)
        left = time.monotonic()
        wait_until(lambda: reader.since(left, theirs=False) is not None, 30)
        # Every other kind of request meanwhile.
        assert outsider.get(SKELETON, viewer, feed=FEED, limit=30, cursor="x").json() == {"feed": []}
        assert outsider.page() != []
        assert outsider.get("/.well-known/did.json").json()["id"] == SERVICE_DID
        described = outsider.get("/xrpc/app.bsky.feed.describeFeedGenerator").json()
        assert described["feeds"] == [{"uri": FEED}]
        refused = outsider.get(INTERACTIONS)
        assert (refused.status_code >= 500, refused.json()["error"]) == (True, "UpstreamFailure")
        time.sleep(3)
        back = time.monotonic()
        come_back(chain)
        wait_until(lambda: reader.since(back, theirs=True) is not None, BACK_SECONDS)
    assert reader.failures == []
    away = [page_id for _, _, page_id in reader.answers if reader.ids[page_id] > 1]
    slowest = max(seconds for began, seconds, _ in reader.answers if began >= leaving)
    print(
        f"\n{leave.__name__}: {len(reader.answers)} requests, none failed; first page of away after "
        f"{reader.since(left, theirs=False):.2f} s, slowest answer {slowest:.2f} s, {len(away)} pages of away; "
        f"personal again {reader.since(back, theirs=True):.1f} s after {come_back.__name__}"
    )
    assert slowest < AWAY_SECONDS


def generation_of(machine: Machine) -> int:
    """The newest generation of a machine's store, 0 before the first."""
    told = machine.command("/usr/local/bin/foryou", "status", "--json", check=False).stdout
    generation = json.loads(told or "{}").get("generation")
    return int(generation["generation"]) if generation else 0


def pages_seen(machine: Machine) -> int:
    """How many pages its web app has served, by what it remembers."""
    program = """
import sqlite3
store = sqlite3.connect("/var/lib/foryou/web/activity.sqlite")
print(store.execute("SELECT sum(pages) FROM visits").fetchone()[0])
"""
    return int(machine.command("/opt/foryou/bin/python", "-c", program).stdout)


def test_home_moves_to_another_machine(chain: Chain, outsider: Outsider, viewer: str) -> None:
    first = outsider.get(SKELETON, viewer, feed=FEED, limit=30)
    chain.home.script(commands_of("move-1"))
    wait_until(lambda: chain.new.root.joinpath("etc/foryou/foryou.env").exists())
    write_values(chain.new, FORYOU_LISTEN=f"{ADDRESSES['new']}:8080")
    chain.new.script(commands_of("move-2"))
    restored = generation_of(chain.new)
    wait_until(lambda: generation_of(chain.new) > restored > 0, 180)
    with reading(outsider, viewer) as reader:
        leaving = time.monotonic()
        chain.home.script(commands_of("move-3"))
        moved = time.monotonic()
        wait_until(lambda: reader.since(moved, theirs=True) is not None, BACK_SECONDS)
    assert reader.failures == []
    away = [began for began, _, page_id in reader.answers if reader.ids[page_id] > 1]
    lasted = max(away) - min(away) if away else 0.0
    slowest = max(seconds for began, seconds, _ in reader.answers if began >= leaving)
    print(
        f"\nmove: {len(reader.answers)} requests, none failed; the commands of the last step took "
        f"{moved - leaving:.1f} s, home was away for {lasted:.1f} s, slowest answer {slowest:.2f} s"
    )
    assert lasted < MOVE_SECONDS
    assert chain.home.command("systemctl", "is-active", "foryou-serve", check=False).stdout == "inactive\n"
    assert pages_seen(chain.new) >= pages_seen(chain.home) > 0
    # Who was reading goes on where they were.
    posts = posts_of(first)
    more = outsider.page(viewer, cursor=first.json()["cursor"])
    assert more != []
    assert not set(posts) & set(more)
