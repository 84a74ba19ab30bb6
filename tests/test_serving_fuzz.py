"""Two thousand random and spoilt requests over real sockets: no 500, no hang. bench/fuzz_serving.py sends a
million."""

import threading
import time
from pathlib import Path

from serving_fuzz import Requests, fuzz
from serving_worlds import Account, ServingStore, blob, config_of, directory, plc_did

from serving.process.web_server import WebServer

POSTS = list(range(1, 301))


def test_no_request_is_a_500_or_hangs(tmp_path: Path) -> None:
    accounts = [Account(plc_did(number)) for number in range(1, 6)]
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(POSTS)
    store.publish(
        1,
        {account.did: blob(POSTS) for account in accounts},
        {"": blob(POSTS), "pt": blob([3])},
        at=time.time(),
    )
    store.close()
    with directory(keeps=True) as plc:
        plc.publish(*accounts)
        server = WebServer(config_of(tmp_path, plc.url, explain=("/bin/false",)))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            client = fuzz(server.address, Requests(1, accounts), 2_000)
        finally:
            server.stop()
            thread.join(120)
        assert not thread.is_alive()
    assert client.faults == []
    assert {"200", "400", "401"} <= set(client.statuses)
    assert client.statuses["200"] > 200
