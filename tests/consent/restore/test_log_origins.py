"""The log after a restore: the origin that may have had other events ends, and the next signs what the witness has."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client

from consent import ledger, verification, verification_log
from consent.log import appending, checkpoints, origins, receipts, serving, store
from consent.models import ConsentEvent, EventSalt, LogCheckpoint, LogOrigin, LogTile
from consent.proofs import note, tree
from consent.proofs.receipt import verify
from consent.services import locks
from consent.witness import guard, keeper
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.factories import OPERATOR
from tests.support.ledger_guards import behind_the_guards, sql
from tests.support.log import ORIGIN, SETTINGS, SIGNER, add_events, step
from tests.support.restoring import lost, witness_all

pytestmark = pytest.mark.django_db(transaction=True)
ADOPT = ("restore", "adopt", "--actor", OPERATOR, "--reason", "Disk failed")
LOST_TWO = SIGNER.under(f"{ORIGIN}/2")


@pytest.fixture(autouse=True)
def log_kept(settings: Any) -> None:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)


@pytest.fixture
def signed(watched: Cast) -> Cast:
    """The cast, all of whose events are witnessed, in the log and signed."""
    work()
    assert origin_sizes() == {1: [ledger.head()]}
    return watched


def work() -> None:
    """What the worker does, until there is nothing to do."""
    assert guard.check() == ""
    ledger.sequence()
    for _round in range(2):
        step()
        assert keeper.keep() == "" and guard.check() == ""
    step()


def origin_sizes() -> dict[int, list[int]]:
    """Number of the origin → the sizes that it has signed."""
    found: dict[int, list[int]] = {}
    for size, number in LogCheckpoint.objects.order_by("size").values_list("size", "origin"):
        found.setdefault(number, []).append(size)
    return found


def lose(cast: Cast, product: str = "le_chat", *, events: int = 0) -> str:
    """Lose a lock, and events, that were witnessed, in the log and signed; returns the lost checkpoint."""
    with lost():
        locks.place_lock(
            organization=cast.labs, product=product, reason="Contract", reference="C", actor=cast.provider,
            source="admin",
        )  # fmt: skip
        add_events(events)
        witness_all()
        step()
        witness_all()
        step()
        last = checkpoints.latest()
        assert last is not None and last.size == store.size() == ledger.head()
    return str(last.note)


def adopt(*more: str) -> None:
    done = run(*ADOPT, *more)
    assert done.code == 0, done.err


def name_of(text: str) -> str:
    return text.partition("\n")[0]


# --- The next origin --------------------------------------------------------------------------------------------------


def test_adopt__log__ends_and_the_next_begins(signed: Cast, client: Client) -> None:
    before, salts = LogCheckpoint.objects.get(), list(EventSalt.objects.values_list())
    gone = lose(signed)
    step()
    assert guard.check() == "head_lower" and origin_sizes() == {1: [before.size]}
    adopt()
    work()
    made = LogCheckpoint.objects.order_by("-size")[0]
    assert origin_sizes() == {1: [before.size], 2: [ledger.head()]}
    assert note.open_checkpoint(made.note, [LOST_TWO.verifier]).root == store.root(made.size)
    # What is there of the old one stays, and the new tree goes on from it; the lost one had another.
    assert LogCheckpoint.objects.get(origin=1).note == before.note
    assert list(EventSalt.objects.values_list())[: len(salts)] == salts
    proof = tree.consistency(store.Tree().read, before.size, made.size)
    tree.verify_consistency(before.size, made.size, proof, bytes(before.root), bytes(made.root))
    forgotten = note.open_checkpoint(gone, origins.verifiers())
    assert (forgotten.origin, forgotten.root == store.root(forgotten.size)) == (ORIGIN, False)
    assert verification.verify().problems == []
    assert json.loads(client.get("/readyz").content)["checks"]["log"] == "ok"
    assert "consent_log_origin 2.0" in client.get("/metrics").content.decode().splitlines()


def test_adopt__restored_to_before_an_adoption__no_number_is_used_twice(signed: Cast) -> None:
    with transaction.atomic():
        with lost():
            add_events(1)
        adopt()
        witness_all()
        step()
        witness_all()
        step()
        gone = LogCheckpoint.objects.get(origin=2).note
        transaction.set_rollback(True)
    guard.forget(connection=transaction.get_connection())
    assert guard.check() == "other_epoch" and LogOrigin.objects.count() == 1
    adopt()
    work()
    assert origin_sizes().keys() == {1, 3}
    assert name_of(LogCheckpoint.objects.get(origin=3).note) == f"{ORIGIN}/3"
    # What was signed under the lost one is still known to be ours.
    assert note.open_checkpoint(gone, origins.verifiers()).origin == f"{ORIGIN}/2"
    ended = serving.about()["ended"]
    assert [each["origin"] for each in ended] == [ORIGIN, f"{ORIGIN}/2"]
    assert [bool(each["last_checkpoint"]) for each in ended] == [True, False]
    assert ended[1]["verifier_keys"] == [str(LOST_TWO.verifier)]
    assert verification.verify().problems == []


# --- Nothing is signed that the witness does not have -----------------------------------------------------------------


def test_sign__next_origin__waits_until_the_witness_has_its_tree(signed: Cast) -> None:
    lose(signed, events=20)
    adopt()
    assert guard.check() == ""
    step()
    ledger.sequence()
    step()
    assert store.size() == ledger.head() and origin_sizes().keys() == {1}
    assert keeper.keep() == ""
    step()
    assert origin_sizes()[2] == [ledger.head()]


def test_sign__witness_has_no_line_of_the_epoch__nothing(signed: Cast, witness: Path, settings: Any) -> None:
    """What the witness has is the lost log, which was as long."""
    lose(signed, events=20)
    before = witness.read_bytes()
    adopt()
    ledger.sequence()
    assert appending.Appender().append()
    settings.WITNESS_CHECK_SECONDS = 1_000
    assert guard.check() == ""
    witness.write_bytes(before)
    assert checkpoints.sign() is None  # not even where the quarantine was not noticed
    assert guard.check() == "other_epoch"
    with pytest.raises(checkpoints.Refused):
        checkpoints.sign()
    assert origin_sizes().keys() == {1}


@pytest.mark.parametrize("verb", [(), ("--replay", "feed.jsonl")])
def test_adopt__log_paused_before__stays_paused(signed: Cast, tmp_path: Path, verb: tuple[str, ...]) -> None:
    """A copy that was moved, and of which the original may be signing."""
    (tmp_path / "feed.jsonl").write_text("[]\n")
    origins.pause()
    lose_unsigned(signed)
    adopt(*[str(tmp_path / each) if each.endswith("jsonl") else each for each in verb])
    work()
    assert origin_sizes().keys() == {1} and checkpoints.standing().state == "paused"
    assert run("log_resume", "--old-one-is-off").code == 0
    work()
    assert origin_sizes().keys() == {1, 2}


def lose_unsigned(cast: Cast) -> None:
    with lost():
        add_events(3)


def test_adopt__witness_lost_too__paused_until_somebody_says_so(signed: Cast, witness: Path) -> None:
    """Nobody knows whether the epoch that begins was begun before, and lost: it could have signed."""
    witness.unlink()
    assert keeper.keep() == "witness_lost"
    adopt("--tail-unknown", "--lost-to", str(ledger.head() + 3))
    work()
    assert origin_sizes().keys() == {1} and checkpoints.standing().state == "paused"
    refused = run("log_resume")
    assert refused.code != 0 and f"{ORIGIN}/2 stays paused" in refused.err
    work()
    assert origin_sizes().keys() == {1}
    assert f"as {ORIGIN}/2" in run("log_resume", "--old-one-is-off").out
    work()
    assert origin_sizes()[2] == [ledger.head()]
    assert verification.verify().problems == []


def test_adopt__no_log__begins_none(watched: Cast, settings: Any) -> None:
    settings.LOG_SIGNING_KEY = ""
    lose_unsigned(watched)
    adopt()
    assert not LogOrigin.objects.exists()


def test_begin_next__settings_without_the_name__that_of_the_log(signed: Cast, settings: Any) -> None:
    settings.LOG_SIGNING_KEY, settings.LOG_ORIGIN = "", "localhost/log"
    lose_unsigned(signed)
    adopt()
    assert [str(each) for each in LogOrigin.objects.all()] == [ORIGIN, f"{ORIGIN}/2"]


# --- What is served ---------------------------------------------------------------------------------------------------


def restored_with_tiles(cast: Cast) -> None:
    """Origins of which each has a full tile, where that of the lost one at /log/ was another."""
    add_events(260)
    witness_all()
    work()
    lose(cast, events=300)
    adopt()
    work()
    add_events(300)
    work()


def test_serving__two_origins__each_at_its_own_address(signed: Cast, client: Client) -> None:
    restored_with_tiles(signed)
    old, new = LogCheckpoint.objects.filter(origin=1), LogCheckpoint.objects.filter(origin=2)
    first, last = old.order_by("-size")[0], new.order_by("-size")[0]
    for path, made in (("/log", last), ("/log/1", first), ("/log/2", last)):
        answer = client.get(f"{path}/checkpoint")
        assert (answer.content.decode(), answer["Cache-Control"]) == (made.note, "public, max-age=5")
        for place in serving.places(made.size):
            tile = client.get(f"{path}/tile/{place.path()}")
            assert tile.content == serving.content(place, made) and tile.status_code == 200
            # At the address without a number, an earlier origin had others.
            for_good = "public, max-age=31536000, immutable"
            assert tile["Cache-Control"] == (for_good if path != "/log" else "public, max-age=5")
    assert first.size < last.size and LogTile.objects.filter(level=0).count() >= 2
    # Of an origin that has ended there is no more than it has signed, and of the next no size that it has not.
    beyond = f"tile/0/{first.size // 256:03}"
    assert client.get(f"/log/1/{beyond}").status_code == 404 and client.get(f"/log/2/{beyond}").status_code == 200
    width = f"{beyond}.p/{first.size % 256}"
    assert client.get(f"/log/1/{width}").status_code == 200 and client.get(f"/log/2/{width}").status_code == 404
    for path in ("0/checkpoint", "01/checkpoint", "3/checkpoint", "99999/checkpoint", "3/tile/0/000", "1/tile/0/00"):
        assert client.get(f"/log/{path}").status_code == 404


def test_about__two_origins__addresses_and_keys_of_each(signed: Cast, client: Client, settings: Any) -> None:
    lose(signed)
    adopt()
    work()
    told = json.loads(client.get("/.well-known/training-consent-log.json").content)
    base = f"{settings.PORTAL_URL}/log"
    assert (told["origin"], told["verifier_keys"]) == (f"{ORIGIN}/2", [str(LOST_TWO.verifier)])
    assert (told["checkpoint"], told["tiles"]) == (f"{base}/2/checkpoint", f"{base}/2/tile/")
    assert told["ended"] == [
        {
            "origin": ORIGIN,
            "verifier_keys": [str(SIGNER.verifier)],
            "checkpoint": f"{base}/1/checkpoint",
            "tiles": f"{base}/1/tile/",
            "last_checkpoint": LogCheckpoint.objects.get(origin=1).note,
        }
    ]


def test_export_log__two_origins_into_the_folder_of_the_lost_one__as_served(
    signed: Cast, tmp_path: Path, client: Client
) -> None:
    with lost():
        add_events(300)
        witness_all()
        step()
        witness_all()
        step()
        assert run("export_log", str(tmp_path)).code == 0
    adopt()
    work()
    add_events(300)
    work()
    written = run("export_log", str(tmp_path), "--format", "json").json["written"]
    for path, found in (
        ("log", checkpoints.latest()),
        ("log/1", checkpoints.latest(1)),
        ("log/2", checkpoints.latest(2)),
    ):
        assert found is not None
        assert (tmp_path / path / "checkpoint").read_text() == found.note
        for place in serving.places(found.size):
            served = client.get(f"/{path}/tile/{place.path()}").content
            assert (tmp_path / path / "tile" / place.path()).read_bytes() == served
    assert written > 0 and run("export_log", str(tmp_path), "--format", "json").json["written"] == 0


# --- Receipts ---------------------------------------------------------------------------------------------------------


def test_receipts__before_and_after__each_names_its_origin_and_holds(signed: Cast, tmp_path: Path) -> None:
    event = ConsentEvent.objects.placed().order_by("pk")[0]
    before = receipts.receipt_of(event, signed.provider)
    lose(signed)
    adopt()
    # The next has signed nothing yet: what the one before has is still proven by it.
    assert receipts.receipt_of(event, signed.provider) == before
    work()
    after = receipts.receipt_of(event, signed.provider)
    assert [name_of(each.receipt.checkpoint) for each in (before, after)] == [ORIGIN, f"{ORIGIN}/2"]
    assert [each.verifier.name for each in (before, after)] == [ORIGIN, f"{ORIGIN}/2"]
    assert before.receipt.body == after.receipt.body
    for number, each in enumerate((before, after)):
        verify(each.receipt, origins.verifiers())
        (tmp_path / f"{number}.json").write_text(json.dumps(each.data()))
        assert run("verify_receipt", str(tmp_path / f"{number}.json")).code == 0
    # Whoever has the key of one name does not take a receipt of the other for its own.
    own = run("verify_receipt", str(tmp_path / "1.json"), "--vkey", str(SIGNER.verifier))
    assert own.code == 1


# --- What can't be, and what is found ---------------------------------------------------------------------------------


def test_checkpoint__impossible__refused_by_the_database(signed: Cast) -> None:
    lose(signed)
    adopt()
    work()
    first = LogCheckpoint.objects.get(origin=1)
    before = list(LogCheckpoint.objects.values_list())
    values = {"root": first.root, "note": "-", "signed_at": ledger.clock()}
    for size, number in ((first.size, 2), (first.size, 1), (first.size + 1, 9)):
        with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
            LogCheckpoint.objects.create(size=size, origin_id=number, **values)
    for statement in (
        "UPDATE consent_logcheckpoint SET origin_id = 2 WHERE origin_id = 1",
        "DELETE FROM consent_logcheckpoint WHERE origin_id = 1",
        "DELETE FROM consent_logorigin WHERE number = 1",
    ):
        with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
            sql(statement)
    assert list(LogCheckpoint.objects.values_list()) == before


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE consent_logcheckpoint SET origin_id = 1 WHERE origin_id = 2", "which had ended"),
        ("UPDATE consent_logcheckpoint SET origin_id = 2 WHERE origin_id = 1", "but was signed as"),
        ("UPDATE consent_logorigin SET name = 'x' WHERE number = 1", "is of x, but was signed as"),
        ("INSERT INTO consent_logorigin (number, name, paused, begun_at) VALUES (7, 'y', %s, 1)", "origin y, but no"),
        ("UPDATE consent_logcheckpoint SET note = replace(note, '/2', '/3') WHERE origin_id = 2", "is not signed"),
    ],
)
def test_verify__origins_altered__named(signed: Cast, statement: str, problem: str) -> None:
    lose(signed)
    adopt()
    work()
    assert verification_log.problems() == []
    with behind_the_guards():
        sql(statement, [False] if "%s" in statement else [])
    assert any(problem in each for each in verification_log.problems()), verification_log.problems()
