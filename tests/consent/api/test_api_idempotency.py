"""Idempotency keys: the same request repeated, also concurrently; and rate limits."""

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts import limits
from accounts.models import Member, Organization, RateCount
from consent import ledger, retention
from consent.models import BulkJob, ConsentEvent, IdempotencyKey
from tests.support.callers import Caller, World, assert_problem, by_key
from tests.support.commands import database
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.django_db
NEW = {"name": "Once", "kind": "team", "subscriptions": {"le_chat": "le_chat_free"}}


def create(caller: Caller, key: str = "k1", **changes: Any) -> Any:
    return caller.post("organizations/", NEW | changes, idempotency_key=key)


def test_post__again_with_its_key__first_answer_and_nothing_more(world: World) -> None:
    first = create(world.operator_key)
    before = database()
    again = create(world.operator_key)
    assert (again.status_code, again.json(), again["Location"]) == (201, first.json(), first["Location"])
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert database() == before and Organization.objects.filter(name="Once").count() == 1


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("organizations/{id}/members/", {"email": "n@x.example", "name": "N", "role": "member"}, Member),
        (
            "bulk-jobs/",
            {"surface": "le_chat_console", "choice": "opted_out", "select": {"everything": True}},
            BulkJob,
        ),
    ],
)
def test_post__every_one_that_creates__heeds_the_key(world: World, path: str, body: Any, model: Any) -> None:
    path = path.format(id=world.cast.labs.pk)
    before = model.objects.count()
    answers = [world.operator_key.post(path, body, idempotency_key="one") for _ in range(2)]
    assert answers[0].json() == answers[1].json() and answers[0].status_code in (201, 202)
    assert model.objects.count() == before + 1


def test_post__other_body_or_path_with_the_same_key__422_and_nothing_changed(world: World) -> None:
    create(world.operator_key)
    before = database()
    assert_problem(create(world.operator_key, name="Twice"), 422, "idempotency_key_reused")
    member = {"email": "n@x.example", "name": "N", "role": "member"}
    elsewhere = world.operator_key.post(f"{world.labs}members/", member, idempotency_key="k1")
    assert_problem(elsewhere, 422, "idempotency_key_reused")
    assert database() == before


def test_post__same_key_of_another_caller__is_another_request(world: World) -> None:
    create(world.operator_key)
    assert create(by_key("organizations:write")).status_code == 201
    assert Organization.objects.filter(name="Once").count() == 2


def test_post__refused__leaves_nothing_and_can_be_mended(world: World) -> None:
    assert create(world.operator_key, kind="club").status_code == 400
    assert not IdempotencyKey.objects.exists()
    assert create(world.operator_key).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_post__key_that_is_none__400(world: World, key: str) -> None:
    before = database()
    assert_problem(create(world.operator_key, key=key), 400, "idempotency_key")
    assert database()["accounts_organization"] == before["accounts_organization"]


def test_post__a_day_later__is_another_request_and_old_keys_go(world: World) -> None:
    create(world.operator_key)
    IdempotencyKey.objects.update(created_at=ledger.clock() - dt.timedelta(hours=25))
    assert create(world.operator_key).status_code == 201
    assert Organization.objects.filter(name="Once").count() == 2
    IdempotencyKey.objects.update(created_at=ledger.clock() - dt.timedelta(hours=25))
    retention.tidy_up()
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_post__fifty_at_the_same_time__one_event_and_one_answer(world: World) -> None:
    world.operator_key.get("products/")
    answers: list[tuple[int, str]] = []

    def send() -> None:
        try:
            caller = Caller(Client(), world.operator_key.headers)
            answer = create(caller)
            # SQLite lets those who wait for its lock pass each other: on a busy machine some wait in vain, are told
            # to come back, and do. The key makes that safe.
            while answer.status_code == 503 and answer["Retry-After"]:
                answer = create(caller)
            answers.append((answer.status_code, answer.content.decode()))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50 and {status for status, _body in answers} == {201}
    assert len({Organization.objects.get(name="Once").pk}) == 1
    assert ConsentEvent.objects.filter(organization__name="Once", kind="organization.created").count() == 1


# --- Too many ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(settings: Any) -> None:
    settings.KEY_RATE = 3
    limits._buckets.clear()


def test_limit__questions_and_reads_of_an_organizations_key__429_with_retry_after(world: World, slow: None) -> None:
    question = {"organization": str(world.cast.labs.pk), "product": "ai_studio"}
    answers = [world.key.post("decisions/", question) for _ in range(2)]
    answers += [world.key.get("products/"), world.key.post("decisions/", question)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert_problem(answers[-1], 429, "throttled")
    assert answers[-1]["Retry-After"] == "1"
    assert world.foreign_key.get("products/").status_code == 200


def test_limit__writes__counted_across_processes_and_nothing_changed(world: World, slow: None) -> None:
    path = f"{world.labs}privacy-settings/le_chat_console/"
    statuses = [world.key.put(path, {"choice": "opted_out"}).status_code for _ in range(8)]
    assert 429 in statuses and set(statuses) <= {200, 429}
    assert RateCount.objects.filter(subject__startswith="write:").exists()
    before = ConsentEvent.objects.count()
    world.key.put(path, {"choice": "opted_in", "reason": "x"})
    assert ConsentEvent.objects.count() <= before + 1


def test_limit__operators_key__none(world: World, slow: None) -> None:
    assert {world.operator_key.get("products/").status_code for _ in range(10)} == {200}


@pytest.mark.parametrize("email", ["ada@kvasir.example", "nobody@kvasir.example"])
def test_limit__signing_in__429_alike_for_known_and_unknown(world: World, email: str, settings: Any) -> None:
    settings.SIGN_IN_RATE = 2
    client = Client()
    sent = {"login": email, "password": "wrong"}
    statuses = [client.post("/sign-in/", sent).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    right = client.post("/sign-in/", {"login": email, "password": PASSWORD})
    assert right.status_code == 429 and int(right["Retry-After"]) <= 60
    assert client.post("/sign-in/", {"login": f"x{email}", "password": "wrong"}).status_code == 200
