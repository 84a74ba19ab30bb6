"""The settings of an installation: flag > FORYOU_* environment > foryou.toml > default.

Owns: every setting's name, default and meaning. Leaves to others: what a text means (``setting_values``), the
ranking's parameters (``ranking``), and feeds and experiments (``feeds``).

Nothing is read at import. An unknown name in the environment or the file is an error: a mistyped setting that is
silently ignored costs somebody an evening.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pipeline import setting_values as values
from pipeline.errors import SettingError, unknown
from sql.shards import Shard

PREFIX = "FORYOU_"
CONFIG_FILE = "foryou.toml"
TABLES = ("ranking", "feeds", "experiments", "labels")  # of foryou.toml, beside the settings
FEED_WORDS = frozenset(
    {"rkey", "title", "description", "labels", "pinned"}
)  # what a [feeds.NAME] table has besides parameters
CONFIG_NAMES = frozenset({"FORYOU_CONFIG"})  # variables that say where the settings are
# The most time that lists of all viewers may take, unless everybody_minutes asks for more.
EVERYBODY_TIME_SHARE = 0.05
# How far the port of the operator's pages lies above the web app's own, unless it is set.
PAGES_PORT_ABOVE = 10
# Secrets are variables but not settings: no flag or file holds them, and no child process is given them.
ARCHIVE_KEY = "FORYOU_ARCHIVE_KEY"
APP_PASSWORD = "FORYOU_APP_PASSWORD"


def _setting(default: str, check: Callable[[str], Any], text: str) -> Any:  # a dataclass field, described
    return field(metadata={"default": default, "check": check, "help": text})


@dataclass(frozen=True, slots=True)
class Settings:
    """An installation's settings, checked. ``load_settings`` makes one."""

    data_dir: Path = _setting("./data", values.path, "folder of the stores and the lake")
    stream_url: tuple[str, ...] = _setting(
        "wss://jetstream2.us-east.bsky.network/subscribe,wss://jetstream1.us-west.bsky.network/subscribe",
        values.stream_urls,
        "addresses of streams, ws:// or wss://, comma-separated; the first that works is followed",
    )
    stream_silence_seconds: float = _setting(
        "60", values.positive, "seconds without an event after which to reconnect"
    )
    stream_start_hours: float = _setting(
        "72",
        values.positive,
        "hours of the past with which an empty store begins, as far as the server keeps them",
    )
    metrics_listen: tuple[str, int] | None = _setting(
        "", values.listen_or_off, "HOST:PORT where ingest answers Prometheus; off when empty"
    )
    hostname: str = _setting("localhost", values.hostname, "public host name of this service")
    service_did: str = _setting("", values.did, "this service's DID (default did:web:HOSTNAME)")
    publisher_did: str = _setting(
        "", values.did, "DID of the account that published the feed (default SERVICE_DID)"
    )
    feed_rkey: str = _setting("for-you", values.feed_rkey, "record key of the (first) feed")
    listen: tuple[str, int] = _setting("127.0.0.1:8080", values.listen, "HOST:PORT the web app listens on")
    pages_listen: tuple[str, int] = _setting(
        "",
        values.listen,
        "HOST:PORT of the operator's pages and /metrics (default 127.0.0.1, ten above the port of FORYOU_LISTEN)",
    )
    plc_url: str = _setting("https://plc.directory", values.http_url, "directory that resolves did:plc")
    labelers: tuple[str, ...] = _setting(
        "did:plc:ar7c4by46qjdydhdevvrndac",
        values.dids,
        "DIDs of labelers whose labels count, comma-separated; none when empty",
    )
    archive_url: str = _setting(
        "https://jetstream.us-east.bsky.network", values.http_url, "archive that foryou backfill reads"
    )
    pages: str = _setting(
        "local",
        values.one_of("off", "local", "public"),
        "pages for people: off; local (/ for everybody, viewers' lists for this machine); "
        "public (/why, /compare, /sign-in)",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        "", values.networks, "addresses or networks of proxies whose forwarding headers are believed"
    )
    log: str = _setting(
        "text", values.one_of("text", "json"), "form of log lines: text, or a JSON object a line"
    )
    access_log: str = _setting(
        "problems",
        values.one_of("off", "problems", "all"),
        "which requests are logged: off, problems or all",
    )
    appview_url: str = _setting(
        "https://public.api.bsky.app",
        values.http_url,
        "AppView that pages ask for posts and names, and commands for handles, lists and profiles",
    )
    page_posts: str = _setting(
        "on",
        values.one_of("on", "off"),
        "whether pages show posts and names as the AppView describes them, or as links alone",
    )
    ask_profiles: str = _setting(
        "on",
        values.one_of("on", "off"),
        "whether to ask the AppView what authors in lists say on their profiles, where the stream did not report it",
    )
    image_hosts: tuple[str, ...] = _setting(
        "https://cdn.bsky.app,https://video.bsky.app",
        values.origins,
        "origins from which the reader's browser may load pictures on pages, comma-separated; none when empty",
    )
    app_url: str = _setting("https://bsky.app", values.http_url, "app in which pages open posts and people")
    privacy_policy_url: str = _setting(
        "",
        values.web_address,
        "https:// address of this service's privacy policy, which clients may show; none when empty",
    )
    terms_url: str = _setting(
        "",
        values.web_address,
        "https:// address of this service's terms, which clients may show; none when empty",
    )
    serve_threads: int = _setting(
        "8", values.threads, "requests that each process of the web app answers at once"
    )
    serve_workers: int = _setting("1", values.threads, "processes of the web app, each on a core of its own")
    batch_threads: int = _setting("2", values.threads, "threads of the batch's matrix products")
    engine: str = _setting(
        "local",
        values.one_of("local", "ray"),
        "what does the work of a batch: local, this process; ray, a cluster of Ray",
    )
    engine_address: str = _setting(
        "",
        values.engine_address,
        "HOST:PORT of Ray's head; none when Ray is to run on this machine, as long as a run",
    )
    shared_dir: Path | None = _setting(
        "",
        values.optional_path,
        "folder that all machines see, where several serve (docs/scale.md); none when empty",
    )
    shard: Shard | None = _setting(
        "",
        values.shard,
        "N/COUNT, such as 1/2: which viewers this machine serves as a node (docs/scale.md); none on the head",
    )
    compact_minutes: float = _setting("60", values.positive, "minutes between two compactions")
    neighbours_minutes: float = _setting("180", values.positive, "minutes between two neighbours jobs")
    candidates_minutes: float = _setting(
        "2", values.positive, "minutes between two candidates jobs for viewers seen lately"
    )
    everybody_minutes: float = _setting(
        "60", values.positive, "minutes within which the lists of all viewers are renewed"
    )
    waiting_seconds: float = _setting(
        "10", values.positive, "seconds between two searches for viewers who wait for a first list"
    )
    # The [ranking] table, unchecked; ``ranking.ranking_from`` makes parameters of it.
    ranking: Mapping[str, Any] = field(default_factory=dict, metadata={"table": True})
    # The [feeds.NAME] tables, their record keys checked; ``feeds.feeds_of`` makes feeds of them.
    feeds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, metadata={"table": True})
    # The [experiments.NAME] tables, unchecked; ``feeds.feeds_of`` gives each feed its own variants.
    experiments: Mapping[str, Any] = field(default_factory=dict, metadata={"table": True})
    # The [labels] table, unchecked; ``label_levels.levels_from`` makes levels of it.
    labels: Mapping[str, Any] = field(default_factory=dict, metadata={"table": True})

    @property
    def feed_rkeys(self) -> tuple[str, ...]:
        """The record keys of all feeds, that of FORYOU_FEED_RKEY first."""
        return tuple(dict.fromkeys((self.feed_rkey, *(self.rkey_of(name) for name in self.feeds))))

    def rkey_of(self, name: str) -> str:
        """Return the record key of the feed that [feeds.NAME] describes."""
        return str(self.feeds[name].get("rkey", name))

    @property
    def pinned_posts(self) -> Mapping[str, str]:
        """The at-uri of the post that a feed begins with, by the feed's record key, where one has such a post."""
        tables = self.feeds.items()
        return {
            self.rkey_of(name): values.post_uri(table["pinned"])
            for name, table in tables
            if "pinned" in table
        }

    def everybody_after(self, seconds: float) -> float:
        """Return how many minutes after the start of a run for everybody, which took so long, the next is due."""
        minutes = seconds / EVERYBODY_TIME_SHARE / 60
        return min(max(minutes, self.candidates_minutes), self.everybody_minutes)

    @property
    def lists_old_seconds(self) -> float:
        """The age at which the newest lists are old: three of the longest intervals between two runs."""
        return 3 * 60 * max(self.everybody_minutes, self.candidates_minutes)

    @property
    def feed_uri(self) -> str:
        """The at-uri of the feed's record."""
        return f"at://{self.publisher_did}/app.bsky.feed.generator/{self.feed_rkey}"

    @property
    def local_address(self) -> tuple[str, int]:
        """Where this machine reaches its own web app, also one that listens on every address."""
        host, port = self.listen
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port

    @property
    def local_url(self) -> str:
        """The same, as an http:// address."""
        return f"http://{values.address(self.local_address)}"

    @property
    def pages_url(self) -> str:
        """Where the operator's pages and the web app's figures are, as an http:// address."""
        return f"http://{values.address(self.pages_listen)}"

    def environment(self) -> dict[str, str]:
        """Return the settings as FORYOU_* variables, for a child process that must see the same ones."""
        values_of = {name: getattr(self, name) for name in option_names()}
        texts = {name: "" if value is None else str(value) for name, value in values_of.items()}
        texts |= {
            "stream_url": ",".join(self.stream_url),
            "labelers": ",".join(self.labelers),
            "listen": values.address(self.listen),
            "pages_listen": values.address(self.pages_listen),
            "metrics_listen": values.address(self.metrics_listen),
            "trusted_proxies": ",".join(self.trusted_proxies),
            "image_hosts": ",".join(self.image_hosts),
        }
        return {PREFIX + name.upper(): value for name, value in texts.items()}


def option_names() -> tuple[str, ...]:
    """Return the names of the settings that a flag or a variable may set."""
    return tuple(item.name for item in fields(Settings) if "table" not in item.metadata)


def option_help(name: str) -> str:
    """Return what a setting means, with its default."""
    metadata = {item.name: item.metadata for item in fields(Settings)}[name]
    default = f" (default {metadata['default']})" if metadata["default"] else ""
    return str(metadata["help"]) + default


def load_settings(
    flags: Mapping[str, str | None], environment: Mapping[str, str], directory: Path
) -> Settings:
    """Return the settings in force.

    ``flags`` maps names to texts, None where the flag was not given; ``directory`` is where foryou.toml is
    looked for unless FORYOU_CONFIG names a file. Raises SettingError, naming the setting and its origin.
    """
    table = _read_file(environment, directory)
    known = option_names()
    for name in environment:
        if not name.startswith(PREFIX) or name in {*CONFIG_NAMES, ARCHIVE_KEY, APP_PASSWORD}:
            continue
        if name[len(PREFIX) :].lower() not in known:
            variables = [PREFIX + option.upper() for option in known]
            said = unknown("setting", name, variables)
            raise SettingError(said if "?" in said else f"{said}; 'foryou up --help-settings' lists them")
    found: dict[str, Any] = {}
    for item in fields(Settings):
        if "table" in item.metadata:
            continue
        text, origin = _lookup(item.name, flags, environment, table)
        if text is None:
            text, origin = item.metadata["default"], "the default"
        if text == "" and item.name in {"service_did", "publisher_did", "pages_listen"}:
            continue
        try:
            found[item.name] = item.metadata["check"](text)
        except ValueError as error:
            raise SettingError(f"{origin} = {text!r}: {error}") from error
    found.setdefault("service_did", "did:web:" + found["hostname"].replace(":", "%3A"))
    found.setdefault("publisher_did", found["service_did"])
    port = found["listen"][1] + PAGES_PORT_ABOVE
    found.setdefault("pages_listen", ("127.0.0.1", port if port < 65536 else port - 2 * PAGES_PORT_ABOVE))
    return Settings(
        **found,
        ranking=table.get("ranking", {}),
        feeds=_feeds(table.get("feeds", {})),
        experiments=table.get("experiments", {}),
        labels=table.get("labels", {}),
    )


def _feeds(tables: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the [feeds.NAME] tables, once each has a record key of its own."""
    names: dict[str, str] = {}
    for name, table in tables.items():
        where = f"[feeds.{name}]"
        if not isinstance(table, dict):
            raise SettingError(f"{where} must be a table")
        for word in FEED_WORDS:
            if word != "labels" and not isinstance(table.get(word, ""), str):
                raise SettingError(f"{where} {word} = {table[word]!r}: must be a string")
        labels = table.get("labels", [])
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise SettingError(f"{where} labels = {labels!r}: must be a list of strings")
        for word, check in (("labels", values.self_labels), ("pinned", values.post_uri)):
            try:
                if word in table:
                    check(table[word])
            except ValueError as error:
                raise SettingError(f"{where} {word} = {table[word]!r}: {error}") from error
        try:
            rkey = values.feed_rkey(table.get("rkey", name))
        except ValueError as error:
            raise SettingError(f"{where} rkey = {table.get('rkey', name)!r}: {error}") from error
        if rkey in names:
            raise SettingError(f"{where} rkey = {rkey!r}: [feeds.{names[rkey]}] has the same")
        names[rkey] = name
    return tables


def _lookup(
    name: str, flags: Mapping[str, str | None], environment: Mapping[str, str], table: Mapping[str, Any]
) -> tuple[str | None, str]:
    variable = PREFIX + name.upper()
    flag = flags.get(name)
    if flag is not None:
        return flag, "--" + name.replace("_", "-")
    if variable in environment:
        return environment[variable], variable
    if name in table:
        value = table[name]
        return ",".join(value) if isinstance(value, list) else str(value), f"{name} in {CONFIG_FILE}"
    return None, ""


def _read_file(environment: Mapping[str, str], directory: Path) -> dict[str, Any]:
    named = environment.get(f"{PREFIX}CONFIG")
    path = Path(named) if named else directory / CONFIG_FILE
    if not path.exists():
        if named:
            raise SettingError(f"{PREFIX}CONFIG names {named}, which does not exist")
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{path}: {error}") from error
    for name in table:
        if name not in (*option_names(), *TABLES):
            raise SettingError(f"{path}: {unknown('setting', name, (*option_names(), *TABLES))}")
    for name in TABLES:
        if not isinstance(table.get(name, {}), dict):
            raise SettingError(f"{path}: {name!r} must be a table, [{name}]")
    return table
