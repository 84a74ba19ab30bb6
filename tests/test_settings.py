"""Settings: what wins over what, and how a wrong one is told."""

from pathlib import Path

import pytest

from pipeline.errors import SettingError
from pipeline.settings import Settings, load_settings


def load(tmp_path: Path, flags: dict[str, str] | None = None, env: dict[str, str] | None = None) -> Settings:
    return load_settings(flags or {}, env or {}, tmp_path)


def test_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.data_dir == Path("data")
    assert settings.listen == ("127.0.0.1", 8080)
    assert settings.service_did == settings.publisher_did == "did:web:localhost"
    assert settings.feed_uri == "at://did:web:localhost/app.bsky.feed.generator/for-you"


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    (tmp_path / "foryou.toml").write_text(
        'feed_rkey = "file"\nhostname = "file.example"\nserve_threads = 3\n'
    )
    env = {"FORYOU_FEED_RKEY": "variable", "FORYOU_HOSTNAME": "variable.example"}
    settings = load(tmp_path, {"feed_rkey": "flag"}, env)
    assert settings.feed_rkey == "flag"
    assert settings.hostname == "variable.example"
    assert settings.serve_threads == 3
    assert settings.batch_threads == 2


def test_a_file_named_by_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text(
        'stream_url = ["ws://a.example/subscribe", "wss://b.example/subscribe"]\n[ranking]\nmax_seeds = 9\n'
    )
    settings = load(tmp_path / "nowhere", env={"FORYOU_CONFIG": str(file)})
    assert settings.stream_url == ("ws://a.example/subscribe", "wss://b.example/subscribe")
    assert settings.ranking == {"max_seeds": 9}


def test_children_see_the_same_settings(tmp_path: Path) -> None:
    flags = {
        "listen": "[::1]:9000",
        "hostname": "localhost:9000",
        "pages": "off",
        "candidates_minutes": "0.2",
    }
    settings = load(tmp_path, flags)
    assert load(tmp_path, env=settings.environment()) == settings


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"FORYOU_DATADIR": "x"}, "unknown setting FORYOU_DATADIR (did you mean FORYOU_DATA_DIR?)"),
        ({"FORYOU_LISTEN": "8080"}, "FORYOU_LISTEN = '8080': expected HOST:PORT"),
        ({"FORYOU_LISTEN": "127.0.0.1:99999"}, "HOST:PORT"),
        ({"FORYOU_STREAM_URL": "jetstream.example"}, "not a ws:// or wss:// address"),
        ({"FORYOU_STREAM_URL": ","}, "at least one"),
        (
            {"FORYOU_HOSTNAME": "https://feed.example"},
            "FORYOU_HOSTNAME = 'https://feed.example': expected a host name",
        ),
        ({"FORYOU_SERVICE_DID": "feed.example"}, "expected a DID"),
        ({"FORYOU_FEED_RKEY": "for you"}, "expected a record key"),
        ({"FORYOU_PLC_URL": "plc.directory"}, "expected an http:// or https:// address"),
        ({"FORYOU_SERVE_THREADS": "0"}, "must be a whole number from 1 to 256"),
        ({"FORYOU_SERVE_THREADS": "many"}, "FORYOU_SERVE_THREADS = 'many': must be a whole number"),
        ({"FORYOU_CANDIDATES_MINUTES": "nan"}, "must be a number above 0"),
        ({"FORYOU_CANDIDATES_MINUTES": "soon"}, "'soon': must be a number above 0"),
        ({"FORYOU_TRUSTED_PROXIES": "10.0.0.0/99"}, "expected addresses or networks"),
        ({"FORYOU_PAGES": "yes"}, "expected one of off, local, public"),
        ({"FORYOU_CONFIG": "/nowhere/foryou.toml"}, "which does not exist"),
    ],
)
def test_a_wrong_setting_names_itself_and_the_mend(tmp_path: Path, env: dict[str, str], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        load(tmp_path, env=env)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_flag_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^--serve-threads = 'x'"):
        load(tmp_path, {"serve_threads": "x"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("feed_rky = 'x'", "unknown setting feed_rky (did you mean feed_rkey?)"),
        ("feed_rkey = ", "foryou.toml: "),
        ("ranking = 3", "must be a table"),
        ("serve_threads = 0", "serve_threads in foryou.toml = '0'"),
        ("feeds = 3", "must be a table"),
        ("[feeds]\nquiet = 3", "[feeds.quiet] must be a table"),
        ("[feeds.quiet]\nrkey = 'no key'", "[feeds.quiet] rkey = 'no key': expected a record key"),
        ("[feeds.quiet]\nrkey = 3", "[feeds.quiet] rkey = 3: must be a string"),
        ("[feeds.a]\nrkey = 'x'\n[feeds.x]", "[feeds.x] rkey = 'x': [feeds.a] has the same"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "foryou.toml").write_text(text)
    with pytest.raises(SettingError) as caught:
        load(tmp_path)
    assert words in str(caught.value)
