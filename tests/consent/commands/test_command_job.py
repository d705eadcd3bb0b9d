import csv
import datetime as dt
import io

import pytest

from accounts.access import Actor
from accounts.models import Organization, User
from consent import verification
from consent.jobs import engine
from consent.models import BulkJob, ConsentEvent
from tests.support.commands import ACTOR, Run, choices_of, database, run
from tests.support.factories import ActorFactory, OrganizationFactory, UserFactory
from tests.support.jobs import lapse

pytestmark = pytest.mark.django_db
SECOND = ("--actor", "frigg@provider.example")
OUT = ("--surface", "le_chat_console", "--choice", "opted_out")
IN = ("--surface", "le_chat_console", "--choice", "opted_in", "--reason", "x")


@pytest.fixture(autouse=True)
def second() -> User:
    made: User = UserFactory(email=SECOND[1], operator=True)
    return made


@pytest.fixture(autouse=True)
def operator() -> Actor:
    return ActorFactory(of_commands=True)


@pytest.fixture(autouse=True)
def five(operator: Actor) -> list[Organization]:
    return OrganizationFactory.with_ids(*"abcde", plan="le_chat_free", actor=operator)


def made(*argv: str) -> BulkJob:
    result = run("set_consent", *argv, "--all", *ACTOR, "--yes", "--background")
    assert result.code == 0, result.err
    return BulkJob.objects.latest("pk")


def job(verb: str, of: BulkJob, *argv: str) -> Run:
    return run("job", verb, str(of.pk), *argv)


def test_job_list__two_jobs__newest_first_and_by_status() -> None:
    assert run("job", "list").out == "There are no jobs.\n"
    first, second = made(*OUT), made(*IN)
    listed = run("job", "list", "--format", "json").json["jobs"]
    assert [each["id"] for each in listed] == [str(second.pk), str(first.pk)]
    waiting = run("job", "list", "--status", "awaiting_approval")
    assert str(second.pk) in waiting.out
    assert str(first.pk) not in waiting.out
    assert "Odin Eriksen" in waiting.out
    assert len(run("job", "list", "--limit", "1", "--format", "json").json["jobs"]) == 1


def test_job_show__waiting_then_done__says_how_far_it_is() -> None:
    of = made(*OUT)
    data = job("show", of, "--format", "json").json
    assert (data["status"], data["matched"], data["processed"], data["changed"]) == ("queued", 5, 0, 5)
    job("run", of)
    data = job("show", of, "--format", "json").json
    assert (data["status"], data["processed"], data["changed"], data["eta"]) == ("done", 5, 5, None)
    assert "status" in job("show", of).out


@pytest.mark.parametrize("ident", ["01a20000-0000-7000-8000-000000000000", "7", "\x1b[2J"])
@pytest.mark.parametrize("verb", ["show", "run", "rows", "approve", "pause", "resume", "cancel"])
def test_job__unknown__exits_1_and_names_it(verb: str, ident: str) -> None:
    result = run("job", verb, ident, *(SECOND if verb in ("approve", "pause", "resume", "cancel") else ()))
    assert (result.code, result.out) == (1, "")
    assert "There is no job “" in result.err
    assert "\x1b" not in result.err


def test_job_approve__another_operator__queued_and_then_run() -> None:
    of = made(*IN)
    result = job("approve", of, *SECOND, "--format", "json")
    second = User.objects.get(email=SECOND[1])
    assert (result.code, result.json["status"], result.json["approver"]["id"]) == (0, "queued", str(second.pk))
    assert job("run", of, "--format", "json").json["changed"] == 5
    assert set(choices_of("le_chat").values()) == {"opted_in"}


def test_job_approve__its_author__exits_1_and_nothing_changed() -> None:
    of = made(*IN)
    before = database()
    result = job("approve", of, *ACTOR)
    assert (result.code, result.out) == (1, "")
    assert "another operator has to approve it" in result.err
    assert database() == before


@pytest.mark.parametrize("actor", [(), ("--actor", "nobody@provider.example")])
def test_job_approve__no_operator__exits_2_and_nothing_changed(actor: tuple[str, ...]) -> None:
    of = made(*IN)
    before = database()
    assert job("approve", of, *actor).code == 2
    assert database() == before


def test_job_run__not_approved__exits_1_and_says_what_to_do() -> None:
    of = made(*IN)
    before = database()
    result = job("run", of)
    assert (result.code, result.out) == (1, "")
    assert f"manage.py job approve {of.pk}" in result.err
    assert database() == before


def test_job_run__previewed_alone__exits_1_and_names_the_digest() -> None:
    run("set_consent", *OUT, "--all", *ACTOR, "--dry-run")
    of = BulkJob.objects.get()
    result = job("run", of)
    assert result.code == 1
    assert f"set_consent --digest {of.digest}" in result.err


def test_job_run__runner_was_killed__waits_for_its_lease_then_goes_on_at_the_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = made(*OUT)
    for size in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, size, 2)
    engine._chunk(engine.claim(of), 2)  # and then its process was killed
    before = database()
    early = job("run", of)
    assert (early.code, early.out) == (1, "")
    assert "Another process runs this job" in early.err
    assert "it goes on after row 2." in early.err
    assert database() == before
    lapse(of)
    late = job("run", of, "--format", "json")
    assert (late.code, late.json["changed"], late.json["processed"]) == (0, 5, 5)
    assert ConsentEvent.objects.filter(job=of).count() == 5
    assert verification.verify().problems == []


def test_job_run__fails_midway__exits_1_and_goes_on_once_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    of = made(*OUT)

    def fail(*_args: object) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_work", fail)
        result = job("run", of)
    assert (result.code, result.out) == (1, "")
    assert "the disk is full 0 of 5 rows are done" in result.err
    assert "the disk is full" in job("show", of).out
    assert f"manage.py job resume {of.pk}" in job("run", of).err
    job("resume", of, *ACTOR)
    assert job("run", of, "--format", "json").json["changed"] == 5


def test_job_run__paused_by_somebody_meanwhile__exits_1_and_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    of = made(*OUT)
    for size in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, size, 2)
    ordinary = engine._work

    def pause_after(worked: BulkJob, last: int) -> None:
        ordinary(worked, last)
        worked.status = BulkJob.Status.PAUSED
        worked.save(update_fields=["status"])

    monkeypatch.setattr(engine, "_work", pause_after)
    result = job("run", of)
    assert (result.code, result.out) == (1, "")
    assert "Somebody has stopped the job (Paused). 2 of 5 rows are done" in result.err


def test_job__paused_resumed_cancelled__as_told_and_no_more_after() -> None:
    of = made(*OUT)
    assert job("pause", of, *ACTOR, "--format", "json").json["status"] == "paused"
    assert "job resume" in job("run", of).err
    assert job("resume", of, *ACTOR, "--format", "json").json["status"] == "queued"
    assert job("cancel", of, *ACTOR, "--format", "json").json["status"] == "cancelled"
    before = database()
    for verb in ("pause", "resume", "cancel", "approve"):
        result = job(verb, of, *SECOND)
        assert (result.code, result.out) == (1, "")
        assert "Stopped" in result.err
    assert job("run", of).code == 1
    assert database() == before


def test_job_rows__refused__as_csv_and_json() -> None:
    run("set_consent", *OUT, "--organization", "external:b", *ACTOR, "--yes")
    of = made(*IN)
    job("approve", of, *SECOND)
    job("run", of)
    rows = list(csv.DictReader(io.StringIO(job("rows", of, "--refused").out)))
    pk = str(Organization.objects.get(external_id="b").pk)
    expected = {"organization": pk, "external_id": "b", "choice": "opted_in", "refusal": "organization_opted_out"}
    assert [{name: row[name] for name in expected} for row in rows] == [expected]
    as_json = job("rows", of, "--refused", "--format", "json").json
    assert [{name: row[name] for name in expected} for row in as_json] == [expected]
    assert [row["row"] for row in job("rows", of, "--format", "json").json] == [1, 2, 3, 4, 5]


def test_job_rows__none_refused_and_not_yet_run__empty_with_a_note() -> None:
    of = made(*OUT)
    result = job("rows", of, "--refused", "--format", "json")
    assert (result.code, result.json) == (0, [])
    assert "0 of 5 rows are done" in result.err
    assert job("rows", of, "--refused").out == "row,organization,external_id,choice,refusal\r\n"


def test_job__no_verb__exits_2() -> None:
    assert run("job").code == 2
    assert run("job", "explode").code == 2


def test_job_lease__message__counts_the_seconds_left() -> None:
    of = made(*OUT)
    engine.claim(of)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    BulkJob.objects.filter(pk=of.pk).update(leased_until=until)
    assert "more seconds" in job("run", of).err
