"""verify() finds every rewriting of the ledger by whoever owns the database, once the log has it."""

from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from consent import verification, verification_log
from consent.errors import Invalid, Refused
from consent.log import checkpoints, events, store
from consent.models import EventSalt, LogCheckpoint, LogTile
from consent.proofs.note import Checkpoint, Signer, sign
from consent.services import log_salts
from tests.support.cast import Cast
from tests.support.ledger_guards import behind_the_guards, refusal, rows, settle, sql
from tests.support.log import ORIGIN, SETTINGS, add_events, kept, make_history, step
from tests.support.recordings import Recorded

SQLITE = connection.vendor == "sqlite"


@pytest.fixture(autouse=True)
def logged(db: None, settings: object, recorded: Recorded[Cast]) -> Iterator[Cast]:
    """One of everything, and more than a tile of it: in the log, which has two checkpoints."""
    with kept():
        cast = recorded(make_history).load()
        step()
        add_events(280)
        step()
        assert LogCheckpoint.objects.count() == 2
        assert LogTile.objects.count() == 1
        yield cast


def problems() -> list[str]:
    return verification_log.problems()


def test_verify__nothing_wrong__no_problem_and_counted() -> None:
    report = verification.verify()
    assert [each for each in report.problems if "log" in each or "position" in each] == []
    assert problems() == []
    assert (report.leaves, report.checkpoints) == (report.head, 2)


# Of each column another value that the database takes.
_CHOSEN = "id = (SELECT MIN(id) FROM consent_consentevent WHERE kind = 'choice.opted_out')"
_OTHER = {
    "recorded_at": "recorded_at - 1", "since": "COALESCE(since, 0) + 1", "product": "'ai_studio'",
    "surface": "'ai_studio'", "kind": "'choice.opted_in'", "actor_type": "'system'", "source": "'api'",
    "choice": "'opted_in'", "applied_default": "'x'", "reason_code": "'locked'",
    **{flag: f"CASE WHEN {flag} THEN {0 if SQLITE else 'FALSE'} ELSE {1 if SQLITE else 'TRUE'} END"
       for flag in ("by_operator", "subscribed", "locked", "closed", "allowed")},
    **dict.fromkeys(("organization_id", "member_id", "job_id"), "'0190b5d27c1e7a409f3e5a1c2b3d4e5f'"),
}  # fmt: skip


@pytest.mark.parametrize("column", [name for name in events.COLUMNS if name != "id"])
def test_verify__any_column_of_an_event_rewritten__found(column: str) -> None:
    # What an event is about has a place only in those of no layer.
    kind = "access.account_created" if column == "target" else "choice.opted_out"
    ((pk, position),) = rows(
        "SELECT e.id, p.position FROM consent_consentevent e JOIN consent_eventposition p ON p.event_id = e.id"
        f" WHERE e.kind = '{kind}' ORDER BY e.id LIMIT 1"
    )
    with behind_the_guards():
        sql(f"UPDATE consent_consentevent SET {column} = {_OTHER.get(column, repr('x'))} WHERE id = {pk}")
    assert any(f"position {position}" in each for each in problems()), problems()


def _remove(position: str) -> None:
    sql(
        "DELETE FROM consent_consentevent"
        f" WHERE id = (SELECT event_id FROM consent_eventposition WHERE position = {position})"
    )
    sql(f"DELETE FROM consent_eventposition WHERE position = {position}")


_HEAD = "(SELECT MAX(position) FROM consent_eventposition)"


def remove_head() -> None:
    _remove(_HEAD)


def remove_head_with_its_salt() -> None:
    sql(f"DELETE FROM consent_eventsalt WHERE position = {_HEAD}")
    _remove(_HEAD)


def remove_one_in_the_middle() -> None:
    _remove("20")


def remove_one_and_close_the_gap() -> None:
    last = store.size()
    _remove("20")
    sql(f"UPDATE consent_eventposition SET position = 20 WHERE position = {last}")
    sql(f"DELETE FROM consent_eventsalt WHERE position = {last}")


def swap_two() -> None:
    sql("UPDATE consent_eventposition SET position = -position WHERE position IN (5, 6)")
    sql("UPDATE consent_eventposition SET position = 11 + position WHERE position IN (-5, -6)")


def swap_two_with_their_salts() -> None:
    swap_two()
    sql("UPDATE consent_eventsalt SET position = -position WHERE position IN (5, 6)")
    sql("UPDATE consent_eventsalt SET position = 11 + position WHERE position IN (-5, -6)")


def rewrite_the_id() -> None:
    sql(
        "UPDATE consent_consentevent SET id = 99999"
        " WHERE id = (SELECT event_id FROM consent_eventposition WHERE position = 9)"
    )
    sql("UPDATE consent_eventposition SET event_id = 99999 WHERE position = 9")


def rewrite_words_and_their_digest() -> None:
    """With all that can be computed without the key: the digest of the new words too."""
    position = rows("SELECT s.position FROM consent_eventsalt s WHERE length(words_salt) > 0 ORDER BY 1")[0][0]
    salt = bytes(EventSalt.objects.get(pk=position).words_salt)
    sql(
        "UPDATE consent_consentevent SET reason = 'Other', reference = '' WHERE id ="
        " (SELECT event_id FROM consent_eventposition WHERE position = %s)",
        [position],
    )
    sql(
        "UPDATE consent_eventsalt SET reason_digest = %s, reference_digest = '' WHERE position = %s",
        [events.leaf.words_digest(salt, "reason", "Other"), position],
    )


def rewrite_and_make_the_tile_anew() -> None:
    """Everything of the log that has no signature."""
    sql(f"UPDATE consent_consentevent SET source = 'api' WHERE {_CHOSEN}")
    leaves = [store.tree.leaf_hash(each.entry) for each in store.read(0, 256)]
    sql("UPDATE consent_logtile SET hashes = %s, root = %s", [b"".join(leaves), store.tree.subtree(leaves)])


def rewrite_with_a_root_of_its_own() -> None:
    rewrite_and_make_the_tile_anew()
    for checkpoint in LogCheckpoint.objects.all():
        sql("UPDATE consent_logcheckpoint SET root = %s WHERE size = %s", [store.root(checkpoint.pk), checkpoint.pk])


def rewrite_and_sign_by_another_key() -> None:
    rewrite_with_a_root_of_its_own()
    other = Signer(ORIGIN, bytes(32))
    for checkpoint in LogCheckpoint.objects.all():
        note = sign(Checkpoint(ORIGIN, checkpoint.size, bytes(checkpoint.root)).text(), other)
        sql("UPDATE consent_logcheckpoint SET note = %s WHERE size = %s", [note, checkpoint.pk])


def other_salt() -> None:
    sql("UPDATE consent_eventsalt SET salt = %s WHERE position = 12", [bytes(32)])


def erase_a_salt_without_an_event() -> None:
    found = store.find(12)
    assert found is not None
    EventSalt._base_manager.filter(pk=12).update(
        salt=b"", words_salt=b"", actor_salt=b"", reason_digest="", reference_digest="", actor_digest="",
        entry=found.entry,
    )  # fmt: skip


def other_note() -> None:
    sql("UPDATE consent_logcheckpoint SET note = (SELECT MIN(note) FROM consent_logcheckpoint)")


def no_tile() -> None:
    sql("DELETE FROM consent_logtile")


def one_tile_too_many() -> None:
    LogTile.objects.create(level=0, index=7, hashes=bytes(8192), root=bytes(32))


def other_root_of_a_tile() -> None:
    sql("UPDATE consent_logtile SET root = %s", [bytes(32)])


REWRITINGS = (
    remove_head, remove_head_with_its_salt, remove_one_in_the_middle, remove_one_and_close_the_gap, swap_two,
    swap_two_with_their_salts, rewrite_the_id, rewrite_words_and_their_digest, rewrite_and_make_the_tile_anew,
    rewrite_with_a_root_of_its_own, rewrite_and_sign_by_another_key, other_salt, erase_a_salt_without_an_event,
    other_note, no_tile, one_tile_too_many, other_root_of_a_tile,
)  # fmt: skip


@pytest.mark.parametrize("rewrite", REWRITINGS)
def test_verify__rewritten_by_the_owner_of_the_database__found(rewrite: Callable[[], None]) -> None:
    with behind_the_guards():
        rewrite()
    settle()
    assert problems()


def test_verify__no_key_is_set__says_that_signatures_were_not_checked(settings: dict[str, object]) -> None:
    settings.LOG_SIGNING_KEY = ""
    assert problems() == ["the signatures of 2 checkpoints were not checked: set LOG_VERIFIER_KEY"]
    settings.LOG_VERIFIER_KEY = [str(Signer.parse(str(SETTINGS["LOG_SIGNING_KEY"])).verifier)]
    assert problems() == []


def test_verify__log_of_another_name__says_so(settings: dict[str, object]) -> None:
    settings.LOG_ORIGIN = "other.example/log"
    (found,) = problems()
    assert "LOG_SIGNING_KEY is a key of portal.example/log" in found


# --- Erased salts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [1, 256, 257, 285])
def test_erase_salt__wherever__root_stays_and_the_event_says_so(logged: Cast, position: int) -> None:
    size, root = store.size(), store.root(store.size())
    event = log_salts.erase_salt(position=position, reason="Asked for", actor=logged.provider)
    assert (event.kind, event.target, event.organization) == ("log.salt_erased", str(position), None)
    stored = EventSalt.objects.get(pk=position)
    assert (bytes(stored.salt), bytes(stored.words_salt), bytes(stored.actor_salt)) == (b"", b"", b"")
    assert len(stored.entry) == 32
    assert store.root(size) == root
    assert problems() == []
    add_events(5)
    step()
    assert problems() == []


def test_erase_salt__twice_or_beyond_or_without_reason__refused(logged: Cast) -> None:
    log_salts.erase_salt(position=3, reason="Asked for", actor=logged.provider)
    with refusal(Refused, "erased"):
        log_salts.erase_salt(position=3, reason="Asked for", actor=logged.provider)
    with refusal(Invalid, "not_logged", "position"):
        log_salts.erase_salt(position=store.size() + 1, reason="Asked for", actor=logged.provider)
    with refusal(Invalid, "required", "reason"):
        log_salts.erase_salt(position=4, reason=" ", actor=logged.provider)


def test_verify__event_of_an_erasure_that_was_none__found(logged: Cast) -> None:
    log_salts.erase_salt(position=3, reason="Asked for", actor=logged.provider)
    with behind_the_guards():
        sql("UPDATE consent_consentevent SET target = '4' WHERE kind = 'log.salt_erased'")
    assert len([each for each in problems() if "erased without an event" in each]) == 2


UNREADABLE = {
    "salt too short": "UPDATE consent_eventsalt SET salt = {short} WHERE position = 12",
    "salt of words too short": "UPDATE consent_eventsalt SET words_salt = {short} WHERE position = {words}",
    "version that there is none of": "UPDATE consent_eventsalt SET version = 2 WHERE position = 12",
    "version before the first": "UPDATE consent_eventsalt SET version = 0 WHERE position = 12",
    "salt moved away": "UPDATE consent_eventsalt SET position = -1 WHERE position = 12",
    "bytes where text is": "UPDATE consent_consentevent SET surface = {short} WHERE id = {event}",
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_verify__rewritten_so_that_it_can_not_be_read__named_instead_of_failing(what: str) -> None:
    if what == "bytes where text is" and not SQLITE:
        return  # a text column takes none
    ((words,),) = rows("SELECT MIN(position) FROM consent_eventsalt WHERE length(words_salt) > 0")
    ((event,),) = rows("SELECT event_id FROM consent_eventposition WHERE position = 12")
    place = words if "words" in what else 12
    statement = UNREADABLE[what].format(short="x'00'" if SQLITE else "'\\x00'", words=words, event=event)
    with behind_the_guards():
        sql(statement)
    assert any(f"position {place}" in each for each in problems()), problems()
    # The worker and the witness find it too, instead of ending by it.
    assert store.size() == 0 or checkpoints.root_at(store.size()) is not None


def test_verify__gap_where_a_batch_ends__named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch has all but its last one, and the next begins right after it."""
    monkeypatch.setattr(verification_log, "_BATCH", 12)
    with behind_the_guards():
        sql("UPDATE consent_eventsalt SET position = -1 WHERE position = 12")
    assert any("no salt of position 12" in each for each in problems()), problems()
