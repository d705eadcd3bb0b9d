"""Training runs and removals by the API: each answer, and that a refusal changes nothing."""

import base64
import hashlib
import json
from typing import Any

import pytest
from django.conf import settings

from consent import ledger
from consent.models import LogCheckpoint, RemovalBatch, TrainingRun
from consent.services import choices, members
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.callers import Caller, World, assert_problem, by_key
from tests.support.ledger_guards import changes_nothing
from tests.support.log import SETTINGS, step
from tests.support.training import file, register, report, with_snapshots

RUNS = "training-runs/"


@pytest.fixture
def writer(world: World) -> Caller:
    return by_key("runs:write", issued_by=world.cast.operator)


@pytest.fixture
def reader(world: World) -> Caller:
    return by_key("pipeline:read", issued_by=world.cast.operator)


def body(response: Any) -> Any:
    return json.loads(response.content)


def opt_out(world: World) -> None:
    cast = world.cast
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )


def test_post__reports__registers_the_run_and_answers_again_with_the_same(writer: Caller, reader: Caller) -> None:
    sent = {"name": "R-77", "external_id": "exp-12", "purpose": "p", "reports": [report()]}
    response = writer.post(RUNS, sent)
    made = body(response)
    assert response.status_code == 201 and response["Location"].endswith(f"/api/v1/training-runs/{made['id']}/")
    assert (made["name"], made["external_id"], made["allowed"], made["denied"]) == ("R-77", "exp-12", 70, 30)
    assert made["files"] == [{**file("part-000.parquet", 70), "position": made["snapshot_position"]}]
    assert made["retired_at"] is None and made["snapshots"][0]["decided_at"].endswith("Z")
    again = writer.post(RUNS, sent)
    assert again.status_code == 200 and body(again) == made
    assert TrainingRun.objects.count() == 1
    shown = reader.get(f"{RUNS}{made['id']}/")
    assert body(shown) == made and shown["ETag"]
    listed = body(reader.get(RUNS))
    more = {"files", "checkpoint"}
    assert listed == {"results": [{k: v for k, v in made.items() if k not in more}], "next": None}


def test_run__checkpoint_behind_it__is_that_of_the_manifest(writer: Caller, reader: Caller, settings: Any) -> None:
    def registered() -> Any:
        made = body(writer.post(RUNS, {"name": "R-77", "reports": [report()]}))
        assert body(reader.get(f"{RUNS}{made['id']}/")) == made
        return made["checkpoint"]

    assert registered() is None  # no log is kept
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    assert registered() is None  # and none covers it yet
    ledger.sequence()
    step()
    signed = LogCheckpoint.objects.get()
    sent = {"name": "R-77", "reports": with_snapshots(report(1))}
    made = body(writer.post(RUNS, sent))
    assert made["checkpoint"] == {"log": settings.LOG_ORIGIN, "size": signed.size, "note": signed.note}
    envelope = body(reader.get(f"{RUNS}{made['id']}/manifest/"))
    told = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    assert told["checkpoint"] == signed.note


def test_post__with_idempotency_key__is_answered_once(writer: Caller) -> None:
    sent = {"name": "R-77", "reports": [report()]}
    first = writer.post(RUNS, sent, idempotency_key="k")
    again = writer.post(RUNS, sent, idempotency_key="k")
    assert (first.status_code, again.status_code) == (201, 201) and body(first) == body(again)
    assert again["Idempotent-Replayed"] == "true" and TrainingRun.objects.count() == 1


def test_post__other_data_by_the_same_external_id__is_a_conflict(writer: Caller) -> None:
    writer.post(RUNS, {"name": "R-77", "external_id": "exp-12", "reports": [report()]})
    sent = {"name": "R-77", "external_id": "exp-12", "reports": [report(allowed=80)]}
    assert_problem(writer.post(RUNS, sent), 409, "exists", "#/external_id")
    assert TrainingRun.objects.count() == 1


@pytest.mark.parametrize(
    ("sent", "status", "code", "pointer"),
    [
        ({"reports": [{"format": 1}]}, 400, "invalid", "#/reports/0/snapshot"),
        ({"reports": []}, 400, "invalid", "#/reports"),
        ({"reports": "x"}, 400, "invalid", "#/reports"),
        ({}, 400, "invalid", "#/reports"),
        ({"reports": [report(1)], "name": ""}, 400, "invalid", "#/name"),
        ({"reports": [report(1)], "more": 1}, 400, "invalid", "#/more"),
        ({"reports": [report(1, read=99)]}, 422, "inconsistent", "#/reports/0/read"),
        ({"reports": [report(10**9)]}, 422, "beyond_head", "#/reports"),
        ({"reports": [report(1), report(1)]}, 422, "inconsistent", "#/reports"),
    ],
)
def test_post__what_is_no_run__is_refused(
    writer: Caller, sent: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    ledger.sequence()
    with changes_nothing():
        assert_problem(writer.post(RUNS, {"name": "R-77", **sent}), status, code, pointer)


def test_post__without_signing_key__is_refused(writer: Caller, settings: Any) -> None:
    settings.MANIFEST_SIGNING_KEY = ""
    assert_problem(writer.post(RUNS, {"name": "R-77", "reports": [report()]}), 409, "no_signing_key")


def test_scopes__each_way_round__reading_and_writing_are_apart(world: World, writer: Caller, reader: Caller) -> None:
    run = f"{RUNS}{register(actor=world.cast.provider).pk}/"
    for path in (RUNS, run, f"{run}manifest/", f"{run}removals/", f"{run}removal-batches/"):
        assert reader.get(path).status_code == 200
        assert_problem(writer.get(path), 403, "forbidden")
    ledger.sequence()
    with changes_nothing():
        for path, sent in (
            (RUNS, {"name": "R", "reports": [report(1)]}),
            (f"{run}retire/", {"reason": "x"}),
            (f"{run}removal-batches/", {}),
            (f"{run}removals/{run}/acknowledge/", {"removed": 1}),
        ):
            assert reader.post(path, sent).status_code in (403, 404)


def test_manifest__of_a_run__is_the_envelope_byte_for_byte(world: World, reader: Caller) -> None:
    run = register(actor=world.cast.provider)
    response = reader.get(f"{RUNS}{run.pk}/manifest/")
    assert response.content.decode() == run.manifest and response["Content-Type"] == "application/json"
    assert body(reader.get(f"{RUNS}{run.pk}/"))["manifest_sha256"] == hashlib.sha256(response.content).hexdigest()
    statement = json.loads(base64.b64decode(body(response)["payload"]))
    assert statement["predicate"]["run"]["id"] == str(run.pk)
    assert reader.get(f"{RUNS}{run.pk}/manifest/", if_none_match=response["ETag"]).status_code == 304


def test_retire__run__is_shown_and_cannot_be_undone(world: World, writer: Caller) -> None:
    run = f"{RUNS}{register(actor=world.cast.provider).pk}/"
    assert_problem(writer.post(f"{run}retire/", {}), 400, "invalid", "#/reason")
    retired = body(writer.post(f"{run}retire/", {"reason": "Replaced"}))
    assert retired["retired_at"]
    assert body(writer.post(f"{run}retire/", {"reason": "Again"})) == retired
    assert_problem(writer.post(f"{run}removal-batches/", {}), 409, "retired")


def test_removals__after_an_opt_out__are_listed_issued_and_acknowledged(
    world: World, writer: Caller, reader: Caller
) -> None:
    run = f"{RUNS}{register(actor=world.cast.provider).pk}/"
    assert body(reader.get(f"{run}removals/")) == {"results": [], "next": None}
    assert body(writer.post(f"{run}removal-batches/", {})) == {"batch": None}
    opt_out(world)
    (entry,) = body(reader.get(f"{run}removals/"))["results"]
    assert entry == {
        "level": "organization",
        "organization": str(world.cast.labs.pk),
        "member": None,
        "product": "le_chat",
        "keep_from": None,
        "keep_until": None,
        "reason": "organization_opted_out",
        "position": entry["position"],
    }
    assert body(reader.get(f"{run}removals/?after={entry['position']}"))["results"] == []
    batch = body(writer.post(f"{run}removal-batches/", {}))["batch"]
    assert (batch["state"], batch["number"], batch["entries"], batch["acknowledgement"]) == ("open", 1, 1, None)
    assert body(reader.get(f"{run}removal-batches/"))["results"] == [batch]
    assert body(reader.get(f"{run}removals/?batch={batch['id']}"))["results"] == [entry]
    acknowledge = f"{run}removals/{batch['id']}/acknowledge/"
    assert_problem(writer.post(acknowledge, {}), 400, "invalid", "#/removed")
    assert_problem(writer.post(acknowledge, {"removed": "1"}), 400, "invalid", "#/removed")
    late = {"removed": 1, "report": with_snapshots(report(batch["to_position"], allowed=30))[0]}
    assert_problem(writer.post(acknowledge, late), 422, "records_left", "#/report/counts")
    said = body(writer.post(acknowledge, {"removed": 920, "note": "by merge"}))
    assert said["state"] == "acknowledged" and said["acknowledgement"]["removed"] == 920
    assert body(writer.post(acknowledge, {"removed": 920, "note": "by merge"})) == said
    assert_problem(writer.post(acknowledge, {"removed": 921}), 409, "acknowledged")


def test_removals__more_than_a_page__are_followed_by_position(world: World, reader: Caller) -> None:
    cast = world.cast
    run = f"{RUNS}{register(actor=cast.provider).pk}/"
    opt_out(world)
    for user in (cast.member, cast.auditor):
        member = cast.labs.members.get(user=user)
        members.remove_member(member=member, actor=cast.provider, source="admin")
    whole = body(reader.get(f"{run}removals/?limit=200"))["results"]
    assert len(whole) == 5  # the organization's; of each who left one a product
    found, url = [], f"{run}removals/?limit=1"
    while url:
        page = body(reader.get(url.removeprefix("http://testserver")))
        found += page["results"]
        url = page["next"]
    assert found == whole


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=201", "batch=", "more=1"])
def test_removals__wrong_parameter__is_refused(world: World, reader: Caller, query: str) -> None:
    run = register(actor=world.cast.provider)
    response = reader.get(f"{RUNS}{run.pk}/removals/?{query}")
    assert_problem(response, 400, "invalid", f"?{query.partition('=')[0]}")


def test_absent__run_or_batch__is_not_found(world: World, writer: Caller, reader: Caller) -> None:
    run, other = (register(actor=world.cast.provider).pk for _ in range(2))
    opt_out(world)
    writer.post(f"{RUNS}{other}/removal-batches/", {})
    batch = RemovalBatch.objects.get().pk
    for ident in ("x", world.cast.labs.pk):
        assert_problem(reader.get(f"{RUNS}{ident}/"), 404, "not_found")
    assert_problem(reader.get(f"{RUNS}{run}/removals/?batch={batch}"), 404, "not_found")
    assert_problem(writer.post(f"{RUNS}{run}/removals/{batch}/acknowledge/", {"removed": 1}), 404, "not_found")


def test_events__of_removals__reach_operators_alone_and_name_no_key(world: World, writer: Caller) -> None:
    run = f"{RUNS}{register(actor=world.cast.provider).pk}/"
    opt_out(world)
    batch = body(writer.post(f"{run}removal-batches/", {}))["batch"]
    (event,) = body(world.operator.get("events/?kind=removal.issued"))["results"]
    assert (event["target"], event["after"]) == (batch["id"], f"{batch['run']}, 1")
    assert event["organization"] is event["member"] is event["product"] is None
    assert str(world.cast.labs.pk) not in json.dumps(event)
    assert event["url"] == f"{settings.PORTAL_URL}/api/v1/{run}removals/?batch={batch['id']}"
    entries = world.operator.get(event["url"].removeprefix(settings.PORTAL_URL))
    assert [entry["organization"] for entry in body(entries)["results"]] == [str(world.cast.labs.pk)]
    assert body(world.owner.get(f"{world.labs}events/?kind=removal.issued"))["results"] == []
