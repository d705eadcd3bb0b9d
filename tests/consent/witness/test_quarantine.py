"""In quarantine everything is denied, jobs that loosen wait, and nothing is derived from the ledger.

That nothing is loosened, and what protects is taken, is tested act × face: `test_quarantine_faces.py`.
"""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client

from accounts.access import Actor
from accounts.models import Binding
from consent import decisions, ledger, worker
from consent.errors import Unavailable
from consent.imports.fields import ImportPlan
from consent.jobs import engine
from consent.lookups import Question
from consent.management.commands.worker import _pieces
from consent.models import BulkJob, ConsentEvent, EventKind, Installation, JobStatus, TrainingRun, Trouble
from consent.rules import Reason
from consent.services import asked, removals
from consent.snapshots import stored
from consent.witness import guard, quarantine
from tests.support.callers import World, assert_problem, state
from tests.support.cast import Cast
from tests.support.choices import IN, OUT, choose
from tests.support.commands import run
from tests.support.factories import OPERATOR
from tests.support.imports import queued_import
from tests.support.jobs import Team, settings_of
from tests.support.quarantine import begin, end, in_quarantine

pytestmark = pytest.mark.django_db


def person(cast: Cast, name: str) -> Any:
    return Actor.from_user(getattr(cast, name), confirmed=True)


# --- Questions --------------------------------------------------------------------------------------------------------


def test_questions__any__are_denied_restored_right_after_unknown_organizations(world: World, settings: Any) -> None:
    labs, member = str(world.cast.labs.pk), str(world.cast.labs_member.pk)
    fine = {"organization": labs, "member": member, "product": "le_chat"}
    cases = [
        (fine, "restored"),
        (fine | {"product": "gold"}, "restored"),
        (fine | {"at": "2020-01-01T00:00:00Z"}, "restored"),
        (fine | {"organization": "external:nobody"}, "unknown_organization"),
        (fine | {"organization": str(world.cast.brage.pk)}, "unknown_organization"),
    ]
    with in_quarantine():
        for body, reason in cases:
            for query in ("", "?explain=true"):
                found = world.key.post(f"decisions/{query}", body)
                assert found.status_code == 200
                assert (found.json()["allowed"], found.json()["reason"]) == (False, reason)
                assert found.json()["detail"] and not found.json().get("layers")
        batch = world.key.post("decisions/batch/", {"items": [body for body, _reason in cases]}).json()
        assert [(each["allowed"], each["reason"]) for each in batch["decisions"]] == [
            (False, reason) for _body, reason in cases
        ]
        evaluation = {
            "subject": {"type": "member", "id": member},
            "action": {"name": "train"},
            "resource": {"type": "product", "id": "le_chat"},
        }
        answer = world.operator_key("POST", "/access/v1/evaluation", evaluation).json()
        assert answer["decision"] is False and answer["context"]["reason"] == "restored"
    assert world.operator_key.post("decisions/", fine).json()["allowed"] is True


def test_questions__in_quarantine__are_not_counted_as_the_settings_answer(world: World) -> None:
    labs = {"organization": str(world.cast.labs.pk), "product": "le_chat"}
    asked.forget()
    with in_quarantine():
        world.operator_key.post("decisions/", labs)
    assert len(asked._collector._counts) == 0


@pytest.mark.parametrize("quarantine", [False, True])
def test_question__one__takes_one_statement(cast: Cast, quarantine: bool, django_assert_num_queries: Any) -> None:
    question = Question(str(cast.labs.pk), "le_chat", str(cast.labs_member.pk))
    with in_quarantine() if quarantine else contextlib.nullcontext():
        guard.trouble()
        with django_assert_num_queries(1):
            found = decisions.decide(question, cast.provider)
    assert (found.decision.reason == Reason.RESTORED) is quarantine


# --- The API ----------------------------------------------------------------------------------------------------------


def test_settings__in_quarantine__say_what_a_decision_says(world: World) -> None:
    path = f"{world.labs}privacy-settings/le_chat_console/"
    before = world.key.get(path).json()
    own = Client()
    own.force_login(world.cast.member)
    assert before["effective"] == IN
    with in_quarantine():
        told = world.key.get(path).json()
        exported = own.get("/settings/data-controls/mine.json").json()
        page = own.get("/settings/data-controls/").content.decode()
    assert (told["effective"], told["choice"]) == (OUT, before["choice"])
    assert [each["used_for_training"] for each in exported["memberships"]] == [False]
    assert "until it is certain that no recent choice is missing here" in page
    assert world.key.get(path).json() == before


def test_event__choice_of_in_comes_back_under_a_lock__loosens_all_the_same() -> None:
    event = ConsentEvent(kind=EventKind.CHOICE_RESTORED, after=IN, before=OUT, allowed=False, locked=True)
    assert quarantine.loosens(event)
    event.after = OUT
    assert not quarantine.loosens(event)


def test_removals__in_quarantine__neither_issued_nor_told_of_a_ledger_that_may_end_too_early(cast: Cast) -> None:
    run_ = TrainingRun()
    with in_quarantine():
        for act in (lambda: removals.range_of(run_), lambda: removals._issue(run_, cast.provider, "admin")):
            with pytest.raises(Unavailable) as refused:
                act()
            assert refused.value.code == "restored"


def test_api__feeds_and_snapshots__are_503_and_say_why(world: World) -> None:
    with in_quarantine():
        for path in ("events/", "events/stream", f"{world.labs}events/", "snapshots/", "snapshots/1/"):
            assert_problem(world.operator_key.get(path), 503, "restored")
        with pytest.raises(Unavailable):
            stored.list_snapshots(world.cast.provider)
    assert world.operator_key.get("events/").status_code == 200


def test_readyz__in_quarantine__is_ready_and_says_so(client: Client) -> None:
    assert client.get("/readyz").json()["checks"]["witness"] == "off"
    with in_quarantine():
        found = client.get("/readyz")
        assert found.status_code == 200 and found.json()["checks"]["witness"] == "quarantine"
        assert b"portal_quarantine 1.0" in client.get("/metrics").content
    assert b"portal_quarantine 0.0" in client.get("/metrics").content


# --- Pages and commands -----------------------------------------------------------------------------------------------


def test_pages__in_quarantine__operators_are_told_why_and_others_what_it_means(world: World) -> None:
    paths = {"operator": "/admin/", "owner": f"/organizations/{world.cast.labs.pk}/"}
    with in_quarantine(Trouble.HEAD_LOWER):
        page = world.operator.client.get(paths["operator"], follow=True).content.decode()
        assert "This database is in quarantine" in page and "restore status" in page
        assert str(Trouble.HEAD_LOWER.label) in page
        page = world.owner.client.get("/", follow=True).content.decode()
        assert "Recent changes may be missing here" in page and "in quarantine" not in page
    assert "quarantine" not in world.operator.client.get(paths["operator"], follow=True).content.decode()


# --- Jobs -------------------------------------------------------------------------------------------------------------


def test_jobs__that_loosen__wait_and_those_that_tighten_run() -> None:
    team = Team()
    made = team.organizations(3)
    loosening, tightening = team.queued(team.previewed(IN, reason="Asked")), team.queued(team.previewed(OUT, made))
    before = state()
    with in_quarantine():
        assert worker.run_next()  # passes over the first, which is older
        assert not worker.run_next()
        loosening.refresh_from_db()
        tightening.refresh_from_db()
        assert loosening.status == JobStatus.QUEUED and loosening.cursor == 0
        assert tightening.status == JobStatus.DONE and tightening.changed == 3
        assert list(_pieces(None, lambda: False)) and ledger.head() == 0  # type: ignore[arg-type]
    assert state() != before
    assert {setting.choice for setting in settings_of(made)} == {OUT}
    assert worker.run_next()


IMPORTS = {
    "new organizations": ("organizations", ("le_chat_free",), {"name": "New", "external_id": "new-1"}),
    "members": ("members", (), {"organization": "LABS", "email": "new@kvasir.example", "role": "member"}),
    "subscriptions": ("subscriptions", (), {"organization": "BRAGE", "plan": "ai_studio_experiment"}),
    "opt-outs": ("choices", (), {"organization": "LABS", "product": "le_chat", "choice": "opted_out"}),
}


@pytest.mark.parametrize("kind", IMPORTS)
def test_import__in_quarantine__waits_unless_it_opts_out(kind: str, cast: Cast) -> None:
    """It neither fails nor takes back what it has done, and goes on by itself when the quarantine is over."""
    table, held, row = IMPORTS[kind]
    text = f"{','.join(row)}\n{','.join(row.values())}\n"
    text = text.replace("LABS", str(cast.labs.pk)).replace("BRAGE", str(cast.brage.pk))
    job = queued_import(cast.provider, ImportPlan(table, {name: name for name in row}, held), text)
    before = state()
    with in_quarantine():
        assert worker.run_next() is (kind == "opt-outs")
        assert (state() == before) is (kind != "opt-outs")
    worker.run_next()
    job.refresh_from_db()
    assert (job.status, job.changed, job.refused) == (JobStatus.DONE, 1, 0)


def two_organizations(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> BulkJob:
    """A claimed import that does one row at a time."""
    for size in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, size, 1)
    plan = ImportPlan("organizations", {name: name for name in ("name", "external_id")}, ("le_chat_free",))
    return engine.claim(queued_import(cast.provider, plan, "name,external_id\nOne,new-1\nTwo,new-2\n"))


@pytest.mark.parametrize("when", ["between two chunks", "within a chunk"])
def test_job__quarantine_begins_while_it_runs__waits_and_goes_on(
    when: str, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = two_organizations(cast, monkeypatch)
    done: list[BulkJob] = []

    def early(execute: Any, statement: str, *rest: Any) -> Any:
        if done and statement.startswith("INSERT"):
            done.clear()
            begin()
        return execute(statement, *rest)

    with connection.execute_wrapper(early), pytest.raises(engine.Quarantined):
        engine.run(job, on_chunk=(lambda _job: begin()) if when == "between two chunks" else done.append)
    job.refresh_from_db()
    given = Binding.objects.filter(value__startswith="new-")
    assert (job.status, job.cursor, job.error, given.count()) == (JobStatus.RUNNING, 1, "", 1)
    assert not worker.run_next()
    end()
    assert worker.run_next()
    job.refresh_from_db()
    assert (job.status, job.changed, given.count()) == (JobStatus.DONE, 2, 2)


def test_job__of_a_command_as_the_quarantine_begins__says_that_it_waits(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for size in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, size, 1)
    file = tmp_path / "two.csv"
    file.write_text("name,external_id\nOne,new-1\nTwo,new-2\n")

    def late(execute: Any, statement: str, *rest: Any) -> Any:
        found = execute(statement, *rest)
        if statement.startswith('UPDATE "consent_bulkjob"') and '"worked_ms"' in statement:
            begin()
        return found

    with connection.execute_wrapper(late):
        done = run("import_organizations", str(file), "--plan", "le_chat_free", "--actor", OPERATOR)
    assert done.code == 1 and "The job waits: The database may be older" in done.err and "1 of 2 rows" in done.err
    assert Binding.objects.filter(value__startswith="new-").count() == 1


def test_work_once__in_quarantine__derives_nothing(cast: Cast) -> None:
    choose(cast, OUT, person(cast, "owner"))
    with in_quarantine():
        assert worker.work_once() is False
    assert ledger.pending()
    assert worker.work_once() is True


def test_guard__nobody_vouched__is_denied_at_once_and_until_the_number_has_grown(cast: Cast, settings: Any) -> None:
    Installation.objects.update(witness_kept=True, vouches=7)
    guard.forget(connection=connection)
    assert guard.trouble() == guard.NOT_VOUCHED
    assert guard.check() == guard.NOT_VOUCHED
    Installation.objects.update(vouches=F("vouches") + 1)
    assert guard.check() == ""
    assert guard.check() == ""
    # A new connection has to be vouched for again.
    guard.forget(connection=connection)
    assert guard.trouble() == guard.NOT_VOUCHED
    guard.forget(connection=connection)
