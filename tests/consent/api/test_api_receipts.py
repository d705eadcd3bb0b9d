"""Receipts by the API: they prove themselves, to whoever may read the event, with the words that they may know."""

import json
from collections.abc import Iterator

import metamorphic_log
import pytest
from django.conf import settings

from accounts.access import Actor
from consent import ledger
from consent.api.examples import EXAMPLES
from consent.models import ConsentEvent
from consent.proofs import tree
from consent.proofs.note import Verifier
from consent.proofs.receipt import Receipt, verify
from consent.services.log_salts import erase_salt
from tests.support import log
from tests.support.callers import PEOPLE, Caller, World, assert_problem, state

pytestmark = pytest.mark.django_db
OUT = {"choice": "opted_out"}
KEYS = [log.SIGNER.verifier]


@pytest.fixture
def logged(world: World) -> Iterator[World]:
    """With an admin's opt-out of the organization, and a member's own, in the log."""
    with log.kept():
        world.admin.put(f"{world.labs}privacy-settings/le_chat_console/", {**OUT, "reason": "Ours – “all”"})
        world.member.put(f"{world.dag}privacy-settings/le_chat_mobile/", OUT)
        _step()
        yield world


def _step() -> None:
    ledger.sequence()
    log.step()


def _of(**which: object) -> ConsentEvent:
    return ConsentEvent.objects.filter(**which).latest("pk")


def _organizations() -> ConsentEvent:
    return _of(kind="choice.opted_out", member=None)


def _members() -> ConsentEvent:
    return _of(kind="choice.opted_out", member__isnull=False)


def _path(event: ConsentEvent) -> str:
    return f"events/{event.pk}/receipt/"


def _read(caller: Caller, event: ConsentEvent) -> Receipt:
    answer = caller.get(_path(event))
    assert answer.status_code == 200, answer.content
    found = Receipt.parse(answer.content)
    assert verify(found, KEYS).fields["id"] == str(event.pk)
    return found


def test_receipt__as_json__proves_itself_also_to_metamorphic_log(logged: World) -> None:
    event = _organizations()
    answer = logged.owner.get(_path(event))
    assert answer["Content-Type"] == "application/json"
    assert answer["Content-Disposition"] == f'attachment; filename="receipt-{event.pk}.json"'
    assert answer["ETag"] and answer["Cache-Control"] == "no-store"
    shown, read = answer.json(), Receipt.parse(answer.content)
    assert shown["event"]["after"] == "opted_out" and shown["words"] == {"reason": "Ours – “all”"}
    assert shown["event"]["organization"] == str(logged.cast.labs.pk)
    assert shown["consent_record"]["event"]["event_state"] == "not_given"
    assert verify(read, KEYS).fields["id"] == str(event.pk)
    metamorphic_log.checkpoint_verify_inclusion(
        read.checkpoint, [str(KEYS[0])], read.index, tree.leaf_hash(read.entry), list(read.proof)
    )


@pytest.mark.parametrize("accept", ["text/plain", "text/*"])
def test_receipt__as_text__is_a_tlog_proof(logged: World, accept: str) -> None:
    event = _organizations()
    answer = logged.key.get(_path(event), accept=accept)
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="receipt-{event.pk}.tlog-proof"'
    assert answer.content.startswith(b"c2sp.org/tlog-proof@v1\n")
    assert Receipt.parse(answer.content) == _read(logged.key, event)


def test_receipt__in_another_format__406(logged: World) -> None:
    assert_problem(logged.owner.get(_path(_organizations()), accept="application/cose"), 406, "not_acceptable")


@pytest.mark.parametrize(
    ("role", "of_organization", "of_member"),
    [
        ("owner", 200, 404), ("admin", 200, 404), ("auditor", 200, 404), ("member", 404, 200), ("outsider", 404, 404),
        ("operator", 200, 200), ("key", 200, 404), ("foreign_key", 404, 404), ("operator_key", 200, 200),
        ("narrow_key", 403, 403), ("anonymous", 401, 401),
    ],
)  # fmt: skip
def test_receipt__whoever_may_read_the_event__and_nobody_else(
    logged: World, role: str, of_organization: int, of_member: int
) -> None:
    caller = getattr(logged, role)
    codes = {404: "not_found", 403: "forbidden", 401: "not_authenticated"}
    for event, status in ((_organizations(), of_organization), (_members(), of_member)):
        answer = caller.get(_path(event))
        assert answer.status_code == status
        if status != 200:
            assert answer.json()["code"] == codes[status]


@pytest.mark.parametrize("number", ["0", "01", "-1", "x", "9" * 18, "9" * 19, "9" * 40, "1.0"])
def test_receipt__of_no_event__404(logged: World, number: str) -> None:
    assert_problem(logged.operator_key.get(f"events/{number}/receipt/"), 404, "not_found")


def test_example__of_the_description__is_a_receipt_that_holds() -> None:
    example = EXAMPLES["ReceiptOutput"]
    found = Receipt.parse(json.dumps(example).encode())
    assert verify(found, [Verifier.parse(example["verifier_key"])]).fields["after"] == "opted_out"


def test_receipt__of_an_operators_act__names_no_operator(logged: World) -> None:
    logged.operator.put(f"{logged.labs}locks/le_chat/", {"reason": "Court order", "reference": "CASE-12"})
    _step()
    event = _of(kind="lock.placed")
    found = _read(logged.owner, event)
    operator = str(logged.cast.operator.pk)
    assert operator not in found.text() and operator not in json.dumps(found.data(KEYS[0]))
    assert len(str(verify(found, KEYS).fields["actor_id"])) == 64


def test_receipt__with_a_reference__gives_its_words_to_operators_alone(logged: World) -> None:
    """The salt of the words would let customers try out references, which are the provider's own."""
    logged.operator.put(f"{logged.labs}locks/le_chat/", {"reason": "Court order", "reference": "CASE-12"})
    _step()
    event = _of(kind="lock.placed")
    for caller in (logged.owner, logged.key):
        found = _read(caller, event)
        assert found.words_salt is None and found.words == {} and "CASE-12" not in found.text()
    for caller in (logged.operator, logged.operator_key):
        assert _read(caller, event).words == {"reason": "Court order", "reference": "CASE-12"}


def test_receipt__before_the_next_checkpoint__409_and_when_to_come_back(world: World) -> None:
    world.admin.put(f"{world.labs}privacy-settings/le_chat_console/", OUT)
    before = state()
    with log.kept():
        answer = world.owner.get(_path(_organizations()))
        assert_problem(answer, 409, "not_logged_yet")
        assert answer["Retry-After"] == "1"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(settings, "LOG_CHECKPOINT_SECONDS", 10)
            assert 1 <= int(world.owner.get(_path(_organizations()))["Retry-After"]) <= 11
        assert state() == before
        _step()
        _read(world.owner, _organizations())


def test_receipt__without_a_log__404_and_why(world: World) -> None:
    world.admin.put(f"{world.labs}privacy-settings/le_chat_console/", OUT)
    assert_problem(world.owner.get(_path(_organizations())), 404, "log_off")
    assert_problem(world.outsider.get(_path(_organizations())), 404, "not_found")


def test_receipt__of_an_erased_salt__410_and_older_receipts_still_hold(logged: World) -> None:
    event = _organizations()
    kept = _read(logged.owner, event)
    erase_salt(position=kept.index + 1, reason="Asked for", actor=Actor.from_user(logged.cast.operator, confirmed=True))
    assert_problem(logged.owner.get(_path(event)), 410, "salt_erased")
    _step()
    assert verify(kept, KEYS)
    _read(logged.member, _members())


def test_receipt__while_the_log_grows__older_ones_stay_valid(logged: World) -> None:
    event = _organizations()
    older = _read(logged.owner, event)
    log.add_events(300)
    _step()
    newer = _read(logged.owner, event)
    assert len(newer.proof) > len(older.proof) and newer.entry == older.entry
    assert verify(older, KEYS).checkpoint.size + 300 == verify(newer, KEYS).checkpoint.size


def test_receipt__read_by_people__the_same_number_of_queries(logged: World, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    log.add_events(600)
    _step()
    for role in PEOPLE[:2]:
        with django_assert_max_num_queries(20):
            assert getattr(logged, role).get(_path(_organizations())).status_code == 200
