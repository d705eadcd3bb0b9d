"""The ledger's stream, and metrics for Prometheus."""

import datetime as dt
import json
import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from consent import ledger
from consent.models import Backup, ConsentEvent
from consent.services import organizations
from tests.support.callers import World, assert_problem

pytestmark = pytest.mark.django_db


def streamed(caller: Any, after: int = 0) -> list[dict[str, Any]]:
    answer = caller.get(f"events/stream?after={after}")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]


def test_stream__whole_ledger__gapless_and_as_the_feed_tells_it(world: World) -> None:
    events = streamed(world.operator_key)
    assert [event["position"] for event in events] == list(range(1, ConsentEvent.objects.count() + 1))
    assert events[:50] == world.operator_key.get("events/").json()["results"]


def test_stream__after_a_position__goes_on_there_and_ends_at_the_head(world: World) -> None:
    head = ledger.head() or streamed(world.operator_key)[-1]["position"]
    assert [event["position"] for event in streamed(world.operator_key, head - 2)] == [head - 1, head]
    assert streamed(world.operator_key, head) == []


@pytest.mark.parametrize("after", ["-1", "x", "", "9" * 20])
def test_stream__position_that_is_none__400(world: World, after: str) -> None:
    assert_problem(world.operator_key.get(f"events/stream?after={after}"), 400, "invalid", "?after")
    assert_problem(world.operator_key.get("events/stream?colour=red"), 400, "invalid", "?colour")


@pytest.mark.parametrize("role", ["key", "owner", "narrow_key"])
def test_stream__whoever_may_not_see_the_ledger__403(world: World, role: str) -> None:
    assert_problem(world.callers[role].get("events/stream"), 403, "forbidden")


@pytest.mark.django_db(transaction=True)
def test_stream__read_on_while_others_write__every_event_once_in_order(world: World) -> None:
    over = threading.Event()

    def write(n: int) -> None:
        try:
            for m in range(15):
                organizations.update_organization(
                    organization=world.cast.labs if n % 2 else world.cast.brage, name=f"Name {n} {m}",
                    actor=world.cast.provider, source="admin",
                )  # fmt: skip
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    while not over.is_set():
        if not any(writer.is_alive() for writer in writers):
            over.set()
        seen += [event["position"] for event in streamed(world.operator_key, seen[-1] if seen else 0)]
    assert seen == list(range(1, ConsentEvent.objects.count() + 1))


# --- Numbers ----------------------------------------------------------------------------------------------------------


def numbers(**headers: str) -> Any:
    return Client().get("/metrics", headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_metrics__decisions_ledger_and_jobs(world: World) -> None:
    question = {"organization": str(world.cast.labs.pk), "product": "ai_studio"}
    before = numbers().content.decode()
    world.key.post("decisions/", question)
    world.key.post("decisions/batch/", {"items": [question] * 3})
    text = numbers().content.decode()
    name = 'consent_decisions_total{allowed="false",reason="plan_default"} '

    def value(page: str) -> float:
        return next((float(line.removeprefix(name)) for line in page.splitlines() if line.startswith(name)), 0)

    assert value(text) - value(before) == 4
    assert f"consent_ledger_pending {ConsentEvent.objects.count():.1f}" in text
    ledger.sequence()
    assert f"consent_ledger_head {ledger.head():.1f}" in numbers().content.decode()


def test_metrics__backup__its_age_once_there_is_one(world: World) -> None:
    assert "consent_backup_age_seconds" not in numbers().content.decode()
    Backup.objects.create(at=ledger.clock() - dt.timedelta(hours=3), head=1)
    Backup.objects.create(at=ledger.clock() - dt.timedelta(hours=2), head=2)
    [line] = [line for line in numbers().content.decode().splitlines() if line.startswith("consent_backup_age_seconds")]
    assert 7200 <= float(line.split()[1]) < 7300


def test_metrics__operators_key_or_this_machine__everybody_else_refused(world: World) -> None:
    key = world.operator_key.headers["Authorization"]
    assert numbers(authorization=key, x_forwarded_for="198.51.100.7").status_code == 200
    assert_problem(numbers(x_forwarded_for="198.51.100.7"), 401, "not_authenticated")
    assert_problem(numbers(authorization="Bearer no"), 401, "authentication_failed")
    assert_problem(numbers(authorization=world.key.headers["Authorization"]), 403, "forbidden")
    assert_problem(Client().get("/metrics", REMOTE_ADDR="198.51.100.7"), 401, "not_authenticated")
    assert_problem(Client().post("/metrics"), 405, "method_not_allowed")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded", "Forwarded", "Forwarded-For",
     "X-Real-IP", "Via", "X-Client-IP", "X-Cluster-Client-IP", "X-Original-Forwarded-For", "True-Client-IP",
     "CF-Connecting-IP"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["127.0.0.1", "198.51.100.7", ""])
def test_metrics__passed_on__not_local(world: World, header: str, value: str) -> None:
    assert Client().get("/metrics").status_code == 200
    assert_problem(Client().get("/metrics", headers={header: value}), 401, "not_authenticated")
    key = world.operator_key.headers["Authorization"]
    assert Client().get("/metrics", headers={header: value, "Authorization": key}).status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_metrics__behind_a_proxy__nobody_is_local(world: World, settings: Any, address: str) -> None:
    assert Client().get("/metrics", REMOTE_ADDR=address).status_code == 200
    settings.BEHIND_PROXY = True
    assert_problem(Client().get("/metrics", REMOTE_ADDR=address), 401, "not_authenticated")
    key = world.operator_key.headers["Authorization"]
    assert Client().get("/metrics", REMOTE_ADDR=address, headers={"Authorization": key}).status_code == 200


@pytest.mark.parametrize("address", ["", "unix:", "localhost", "10.0.0.1", "::ffff:198.51.100.7"])
def test_metrics__address_of_elsewhere_or_none__not_local(world: World, address: str) -> None:
    assert_problem(Client().get("/metrics", REMOTE_ADDR=address), 401, "not_authenticated")
