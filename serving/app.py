"""The web app, put together.

Owns: which part answers which address, and what the parts share. Leaves to others: every answer, and the socket
(``web_server``). Nothing is opened or started before a request needs it, unless the app is rehearsed.
"""

import time
from collections.abc import Callable

import falcon

from serving.budgets.allowances import Allowance
from serving.budgets.limits import SIGN_IN_SLOTS, SIGN_INS_A_MINUTE
from serving.budgets.viewer_classes import ViewerClasses
from serving.config import ServingConfig, is_loopback
from serving.feed import get_feed_skeleton, rehearsal, send_interactions
from serving.feed.describe import DidDocument, FeedGenerator, Robots
from serving.feed.get_feed_skeleton import FeedSkeleton
from serving.feed.health import Health
from serving.feed.page_cursors import CursorCodec, installation_key
from serving.feed.send_interactions import SendInteractions
from serving.http import xrpc
from serving.http.recent_pages import RecentPages
from serving.http.request_log import RequestLog, SeenProxy
from serving.http.web_metrics import MetricsPage, WebMetrics
from serving.identity.auth import Authenticator
from serving.identity.default_resolver import default_resolver
from serving.identity.fetch import Fetcher
from serving.identity.handles import Handles
from serving.identity.lookup_slots import Slots
from serving.identity.public_addresses import is_public
from serving.identity.repository_reader import RepositoryReader
from serving.identity.resolver import KeyResolver, Resolver
from serving.identity.used_tokens import UsedTokens
from serving.lists.list_store import ListStore
from serving.pages.analyst_plots import AnalystPlotsPage
from serving.pages.appview import AppViewReader
from serving.pages.assets import Assets, Favicon
from serving.pages.dashboard import DashboardPage
from serving.pages.explainer import Explainer
from serving.pages.home import HomePage
from serving.pages.me import (
    DOWNLOAD,
    FORGET,
    ME,
    RETENTION,
    SAVE,
    TAKE_BACK,
    Download,
    ForgetMe,
    MePage,
    MeParts,
    RetentionPage,
    SaveSettings,
    TakeBack,
)
from serving.pages.not_found import error_form
from serving.pages.operator_state import OperatorState
from serving.pages.post_views import Outside
from serving.pages.sign_in import (
    SIGN_IN,
    SIGN_OUT,
    ClientKeys,
    ClientMetadata,
    SignInAnswer,
    SignInPage,
    SignInParts,
    SignOut,
)
from serving.pages.start import START, TAKE_ALL_BACK, StartPage, TakePicksBack
from serving.pages.turns import Turns
from serving.pages.viewer_pages import ViewerPage, ViewersPage
from serving.pages.why import ComparePage, WhyPage
from serving.sign_in.authorization_servers import AuthorizationServers
from serving.sign_in.browser_sessions import BrowserSessions
from serving.sign_in.oauth_client import CALLBACK, KEYS, METADATA, OAuthClient
from serving.sign_in.session_store import SessionStore
from serving.sign_in.sign_in_flow import SignInFlow
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.journal import Journal
from serving.viewers.own_settings import SettingsStore
from serving.viewers.peers import Peers
from serving.viewers.recall import Recall
from serving.viewers.viewer_memory import ViewerMemory
from sql import places

App = falcon.App[falcon.Request, falcon.Response]


def create_app(
    config: ServingConfig,
    *,
    now: Callable[[], float] = time.time,
    resolver: KeyResolver | None = None,
    activity: ActivityWriter | None = None,
    journal: Journal | None = None,
    peers: Peers | None = None,
    metrics: WebMetrics | None = None,
    recent: RecentPages | None = None,
    rehearsed: bool = False,
) -> App:
    """Return the app of an installation.

    ``now`` gives seconds since 1970, ``resolver`` the signers' keys, ``peers`` the other workers. Whoever passes
    ``activity`` closes it, and passes the ``journal`` that it writes, if it does. ``rehearsed`` makes the first request
    as fast as later ones (``rehearsal``).
    """
    metrics = metrics or WebMetrics()
    recent = recent or RecentPages(metrics)
    journal = journal or journal_of(config)
    if activity is None:
        activity = ActivityWriter(
            config.activity_path,
            now=now,
            lost=metrics.lost.inc,
            journal=journal,
            data_dir=config.data_dir,
        )
    classes = ViewerClasses(config.data_dir, now=now)
    resolver = resolver or default_resolver(config, now, is_known=classes.is_known)
    authenticator = Authenticator(config, resolver, now)
    store = ListStore(config.serving_path, config.removals_path)
    cursors = CursorCodec(installation_key(config.cursor_key_path))
    memory = ViewerMemory(Recall(config.activity_path, now=now), peers=peers, now=now)
    activity.tell_forgotten(memory.forget)
    activity.tell_changed(memory.read_again)
    settings = SettingsStore(config.activity_path, now=now, journal=journal)
    used = UsedTokens(now, tell=peers.send) if peers else UsedTokens(now)
    if peers:
        peers.listen(used.take)
    interactions = SendInteractions(
        config, authenticator, store, memory, activity, classes, settings, used, now
    )

    proxy = SeenProxy()
    app: App = falcon.App(middleware=[RequestLog(config, metrics, proxy)])
    app.req_options.strip_url_path_trailing_slash = False
    xrpc.add_error_forms(app)
    feed = FeedSkeleton(config, authenticator, store, cursors, memory, activity, classes, settings, now)
    app.add_route(feed_address := f"/xrpc/{get_feed_skeleton.METHOD}", feed)
    app.add_route(f"/xrpc/{send_interactions.METHOD}", interactions)
    app.add_route("/xrpc/app.bsky.feed.describeFeedGenerator", FeedGenerator(config))
    app.add_route("/.well-known/did.json", DidDocument(config))
    health = Health(store, activity, interactions, now, config.lists_old_seconds, proxy, recent)
    app.add_route("/health", health)
    app.add_route("/robots.txt", Robots())
    if config.pages != "off":
        outside = Outside(config.app_url, config.image_hosts)
        appview = AppViewReader(config.appview_url, outside, enabled=config.page_posts)
        app.set_error_serializer(error_form(config, xrpc.error_form))
        app.add_route("/assets/{name}", Assets())
        app.add_route("/favicon.ico", Favicon())
        sessions = None
        if config.pages == "public":
            sessions = _add_sign_in(app, config, appview, settings, classes, memory, store, journal, now)
        app.add_route("/", HomePage(config, store, appview, now))
        app.add_route("/viewers", ViewersPage(config, store, appview, now))
        app.add_route("/viewer/{did}", ViewerPage(config, store, appview, now))
        app.add_route("/plots", AnalystPlotsPage(config, now))
        app.add_route("/dashboard", DashboardPage(config, OperatorState(config, store, recent, now), now))
        if config.explain:
            parts = Explainer(config), Handles(config.appview_url), appview, now, sessions
            app.add_route("/why", WhyPage(config, *parts))
            app.add_route("/compare", ComparePage(config, *parts))
    app.add_route(
        "/metrics", MetricsPage(config, metrics), compile=True
    )  # last, so that all routes are compiled now
    if rehearsed:
        metrics.expect(feed_address, 200)
        if isinstance(resolver, Resolver):
            resolver.open()
        rehearsal.rehearse(feed)
    return app


def journal_of(config: ServingConfig) -> Journal | None:
    """Return this process's journal, None where one machine serves alone."""
    return None if config.journal is None else Journal(config.journal)


def _add_sign_in(
    app: App,
    config: ServingConfig,
    appview: AppViewReader,
    settings: SettingsStore,
    classes: ViewerClasses,
    memory: ViewerMemory,
    lists: ListStore,
    journal: Journal | None,
    now: Callable[[], float],
) -> BrowserSessions:
    """Add the pages for people who are signed in; return who that is."""
    private = config.on_loopback_network
    fetcher = Fetcher(allowed=is_loopback if private else is_public)
    client, store = OAuthClient(config), SessionStore(config.sessions_path)
    servers = AuthorizationServers(RepositoryReader(config.plc_url), fetcher, private=private)
    handles = Handles(config.appview_url)
    flow = SignInFlow(client, store, servers, handles, fetcher, now)
    sessions = BrowserSessions(client, store, now)
    allowance = Allowance(SIGN_INS_A_MINUTE, 60.0, now=now)
    parts = SignInParts(config, client, flow, sessions, allowance, Slots(SIGN_IN_SLOTS))
    app.add_route(METADATA, ClientMetadata(client))
    app.add_route(KEYS, ClientKeys(client))
    app.add_route(CALLBACK, SignInAnswer(parts))
    app.add_route(SIGN_IN, SignInPage(parts))
    app.add_route(SIGN_OUT, SignOut(parts))
    turns = Turns(places.lock(config.data_dir, "known"))
    me = MeParts(
        config, sessions, store, settings, classes, memory, appview, handles, turns, lists, journal, now
    )
    app.add_route(ME, MePage(me))
    app.add_route(SAVE, SaveSettings(me))
    app.add_route(TAKE_BACK, TakeBack(me))
    app.add_route(START, StartPage(me, lists))
    app.add_route(TAKE_ALL_BACK, TakePicksBack(me))
    app.add_route(FORGET, ForgetMe(me))
    if config.known:
        app.add_route(DOWNLOAD, Download(me))
    app.add_route(RETENTION, RetentionPage(config))
    return sessions
