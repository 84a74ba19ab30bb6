"""What foryou doctor finds out about labelers: real documents, real streams, a real store."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libipld
import pytest
from serving_worlds import Directory, directory, plc_did
from streams import free_port

from pipeline.ingest.labels.label_frames import seq_and_age
from pipeline.label_levels import levels_from
from pipeline.operate.doctor import labeler_checks
from pipeline.operate.doctor.findings import Finding, findings
from pipeline.settings import load_settings
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.parameters import WorldParameters
from pipeline.simulate.server.labeler import Labeler
from pipeline.store.labels import LabelBatch, LabelStore
from pipeline.store.landing import Landing
from serving.identity.labelers import LabelerReader

UNKNOWN = plc_did(404)


@pytest.fixture
def network() -> Iterator[SimulatedNetwork]:
    with SimulatedNetwork(WorldParameters(users=30, days=0.1), speed=0) as running:
        running.labeler.labels(running.now_us())  # so that it says all that it says by itself
        yield running


@pytest.fixture
def plc(network: SimulatedNetwork) -> Iterator[Directory]:
    with directory() as held:
        publish(held, network.labeler, network.plc_url)
        yield held


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labeler_checks, "MESSAGE_SECONDS", 1.0)


def publish(plc: Directory, labeler: Labeler, origin: str) -> None:
    plc.answers[f"/{labeler.did}"] = (200, json.dumps(labeler.document(origin)).encode())


def check(folder: Path, plc: Directory, *labelers: str) -> Finding:
    settings = load_settings({"labelers": ",".join(labelers), "data_dir": str(folder)}, {}, folder)
    [only] = findings(
        check._replace(needs=()) for check in labeler_checks.checks(settings, LabelerReader(plc.url))
    )
    return only


def stored(folder: Path, did: str, seq: int) -> None:
    Landing(folder).close()
    store = LabelStore(folder, levels_from({}), (did,))
    store.append(did, LabelBatch(seq=seq, first_seq=seq, reached=1))
    store.close()


def old(labeler: Labeler, uri: str) -> None:
    label = {**labeler.signed(uri, "spam"), "cts": "2026-05-01T00:00:00.000Z"}
    labeler.send([label])


def test_a_labeler_whose_labels_are_all_stored(tmp_path: Path, network: SimulatedNetwork, plc: Directory):
    labeler = network.labeler
    seq = labeler.label(plc_did(1), "spam")
    assert check(tmp_path, plc).seen == "no labeler is followed"
    before = check(tmp_path, plc, labeler.did)
    assert before.state == "wrong"
    assert "nothing of it is stored yet" in before.seen
    stored(tmp_path, labeler.did, seq)
    found = check(tmp_path, plc, labeler.did)
    assert (found.state, found.seen) == ("ok", f"{labeler.did}: stored up to message {seq}, its last")
    labeler.label(plc_did(2), "spam")
    found = check(tmp_path, plc, labeler.did)
    assert found.state == "ok"
    assert "s behind" in found.seen


def test_one_that_ingest_lags_behind(tmp_path: Path, network: SimulatedNetwork, plc: Directory):
    labeler = network.labeler
    seq = labeler.label(plc_did(1), "spam")
    stored(tmp_path, labeler.did, seq)
    old(labeler, plc_did(2))
    found = check(tmp_path, plc, UNKNOWN, labeler.did)
    assert found.state == "wrong"
    assert f"{labeler.did}: stored up to message {seq}; the next one is " in found.seen
    assert "minutes old" in found.seen
    assert f"{UNKNOWN}: " in found.seen, "each is named that is wrong"
    assert found.advice == "correct FORYOU_LABELERS, unless the message says something else"


def test_one_whose_stream_can_not_be_had(tmp_path: Path, network: SimulatedNetwork, plc: Directory):
    labeler = network.labeler
    stored(tmp_path, labeler.did, labeler.label(plc_did(1), "spam"))
    publish(plc, labeler, f"http://127.0.0.1:{free_port()}")
    assert "refused" in check(tmp_path, plc, labeler.did).seen
    document = labeler.document(network.plc_url)
    document["verificationMethod"] = document["verificationMethod"][:1]
    plc.answers[f"/{labeler.did}"] = (200, json.dumps(document).encode())
    found = check(tmp_path, plc, labeler.did)
    assert (found.state, found.seen) == (
        "wrong",
        f"{labeler.did}: {LabelerReader(plc.url).find(labeler.did).reason}",
    )


def test_one_that_begins_to_count_anew(tmp_path: Path, network: SimulatedNetwork, plc: Directory):
    stored(tmp_path, network.labeler.did, 9_999_999)
    found = check(tmp_path, plc, network.labeler.did)
    assert found.state == "ok"
    assert "does not go on after message 9,999,999" in found.seen


@pytest.mark.parametrize(
    "body", [{}, {"seq": 3}, {"seq": 3, "labels": 7}, {"seq": 3, "labels": [7, {"cts": 7}]}, {"labels": []}]
)
def test_messages_without_a_label_have_no_age(body: dict[str, Any]):
    header = libipld.encode_dag_cbor({"op": 1, "t": "#labels"})
    assert seq_and_age(header + libipld.encode_dag_cbor(body)) is None
    assert seq_and_age(b"\xa0rubbish") is None
