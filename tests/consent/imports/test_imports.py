"""Imports from end to end: export and import again, killed at any point, files with every kind of mistake."""

import csv
import io
import os
import random
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command

from accounts.access import Actor
from accounts.models import Member, Organization, Subscription
from consent import verification
from consent.imports import reading
from consent.imports.fields import ImportPlan
from consent.jobs import actions, engine
from consent.models import BulkJob, ConsentEvent, JobStatus, PrivacySetting
from consent.services import choices, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE
from consent.worker import work_once
from tests.conftest import lift_triggers
from tests.support.commands import ACTOR, run
from tests.support.factories import ActorFactory
from tests.support.imports import approve_and_run, counts
from tests.support.jobs import lapse
from tests.support.processes import RUNNER, database_url

ROWS = 12
PLAN = ImportPlan("organizations", {"name": "Name", "external_id": "Id", "choice": "Training"}, ("le_chat_free",))


def file_of(rows: int) -> bytes:
    lines = [f"Hall {n},h{n},{'opted_out' if n % 3 == 0 else ''}" for n in range(rows)]
    return ("Name,Id,Training\n" + "\n".join(lines)).encode()


def uploaded(actor: Actor, data: bytes) -> BulkJob:
    file = reading.upload(table="organizations", name="halls.csv", data=[data], actor=actor)
    return reading.prepare(plan=PLAN, actor=actor, source="admin", name=file.name, **{reading.FILE: str(file.pk)})


def assert_whole(job: BulkJob) -> None:
    job.refresh_from_db()
    assert (job.status, job.changed, Organization.objects.count()) == (JobStatus.DONE, ROWS, ROWS)
    assert Subscription.objects.filter(ended_at=None).count() == ROWS
    out = PrivacySetting.objects.filter(product="le_chat", choice="opted_out")
    assert set(out.values_list("organization__external_id", flat=True)) == {f"h{n}" for n in range(0, ROWS, 3)}
    # Created, started; and for each that is out, that: nothing twice.
    assert ConsentEvent.objects.filter(product="le_chat", member=None).count() == ROWS + len(out)
    assert verification.verify().problems == []


# After which statement the runner dies, and after how many of its kind: in the second of three chunks.
POINTS = {
    "job read and locked": ('SELECT "consent_bulkjob"', 6),
    "organizations made": ("INSERT INTO accounts_organization", 2),
    "subscriptions made": ("INSERT INTO accounts_subscription", 2),
    "events inserted": ("INSERT INTO consent_consentevent", 4),
    "settings made": ("INSERT INTO consent_privacysetting", 2),
    "mark moved, not committed": ('UPDATE "consent_bulkjob"', 3),
    "committed": ("", 2),
}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", POINTS)
def test_import__runner_killed_at_any_point__resumed_and_every_row_once(point: str) -> None:
    actor = ActorFactory(of_commands=True)
    job = uploaded(actor, file_of(ROWS))
    assert reading.read_next()
    job.refresh_from_db()
    actions.submit(job=job, actor=actor, digest=job.digest)
    assert killed(RUNNER, job, *map(str, POINTS[point])) == -signal.SIGKILL
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING and job.cursor < ROWS
    assert Organization.objects.count() == job.cursor
    assert verification.verify().problems == []
    lapse(job)
    found = engine.claim_next()
    assert found is not None
    engine.run(found)
    assert_whole(job)


READER = """
import os, signal, sys
import django
django.setup()
from django.db import connection
from consent.imports import reading, staging

staging._PAGE = 4
fragment, left = sys.argv[2], int(sys.argv[3])

def wrapper(execute, statement, parameters, many, context):
    global left
    result = execute(statement, parameters, many, context)
    left -= fragment in statement
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

with connection.execute_wrapper(wrapper):
    reading.read_next()
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("fragment", "occurrence"), [('UPDATE "consent_bulkjob"', 3), ('SELECT "consent_importfilepart"', 1)]
)
def test_import__reader_killed__read_again_from_the_start(fragment: str, occurrence: int) -> None:
    actor = ActorFactory(of_commands=True)
    job = uploaded(actor, file_of(ROWS))
    assert killed(READER, job, fragment, str(occurrence)) == -signal.SIGKILL
    job.refresh_from_db()
    assert job.status == JobStatus.READING
    assert not reading.read_next()  # nobody knows yet that its reader is gone
    lapse(job)
    assert reading.read_next()
    job.refresh_from_db()
    assert (job.status, job.preview, job.import_rows.count()) == (JobStatus.PREVIEWED, {"change": ROWS}, ROWS)


def killed(script: str, job: BulkJob, *arguments: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", script, str(job.pk), *arguments],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "config.settings"},
        check=False,
        timeout=60,
    ).returncode


# --- There and back ---------------------------------------------------------------------------------------------------


def everything(actor: Actor) -> None:
    """Organizations with members, plans and choices."""
    drafts = [
        OrganizationDraft(name=f"Hall {n}", external_id=f"h{n}", subscriptions=[plans.get_plan(key)])
        for n, key in enumerate(("le_chat_free", "le_chat_teams", "le_chat_pro", "ai_studio_scale"))
    ]
    made = organizations.create_organizations(drafts, actor=actor, source="admin")
    wish: dict[str, Any] = {"surface": LE_CHAT_CONSOLE, "actor": actor, "source": "admin", "reason": "agreed"}
    choices.choose(organization=made[0], choice="opted_out", **wish)
    choices.choose(organization=made[1], choice="opted_in", **wish, version_required=False)
    for n, organization in enumerate(made):
        members.add_member(
            organization=organization, email=f"p{n}@hall.example", name=f"P {n}", role="owner",
            external_id=f"p{n}", actor=actor, source="admin",
        )  # fmt: skip


def standing() -> set[tuple[Any, ...]]:
    rows = PrivacySetting.objects.filter(subscribed=True)
    return set(rows.values_list("organization__external_id", "product", "plan", "choice", "allowed"))


def exported(table: str, *, where: str = "") -> str:
    text = run("export", table).out
    if not where:
        return text
    rows = list(csv.DictReader(io.StringIO(text)))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(row for row in rows if row[where] not in ("", "default"))
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_export__imported_into_an_empty_installation__same_members_plans_choices(
    tmp_path: Path,
) -> None:
    everything(ActorFactory(of_commands=True))
    before, people = standing(), set(Member.objects.values_list("user__email", "role", "external_id"))
    files = {
        "organizations": exported("organizations"),
        "members": exported("members"),
        "subscriptions": exported("subscriptions"),
        "choices": exported("choices", where="choice"),
    }
    lift_triggers()
    call_command("flush", interactive=False, verbosity=0)
    import_module("accounts.migrations.0002_plans").create_plans(apps, None)
    import_module("consent.migrations.0033_installation").make_row(apps, None)
    ActorFactory(of_commands=True)
    options = {
        "organizations": ("--map", "name=name", "--map", "external_id=external_id", "--plan", "ai_studio_scale"),
        "choices": ("--reason", "As it was"),
    }
    by_external = ("--map", "organization_external_id=organization_external_id")
    mapped = {
        "members": [*by_external, *(f"--map={name}={name}" for name in ("email", "name", "role", "external_id"))],
        "subscriptions": [*by_external, "--map=plan=plan"],
        "choices": [
            *by_external,
            "--map=product=product",
            "--map=choice=choice",
            "--ignore=member",
            "--ignore=member_external_id",
        ],
    }
    for table, text in files.items():
        path = tmp_path / f"{table}.csv"
        path.write_text(text)
        arguments = [*mapped.get(table, []), *options.get(table, ())]
        result = run(f"import_{table}", str(path), *ACTOR, *arguments, "--format", "json")
        assert result.code == 0, result.err
        if result.json.get("status") == "awaiting_approval":
            approve_and_run(result)
    assert {row for row in standing() if row[1] == "le_chat"} == {row for row in before if row[1] == "le_chat"}
    assert set(Member.objects.values_list("user__email", "role", "external_id")) == people
    assert verification.verify().problems == []


# --- Mistakes ---------------------------------------------------------------------------------------------------------

MISTAKES = {
    "no name": lambda n, row: row.update(Name=""),
    "no id": lambda n, row: row.update(Id=""),
    "country": lambda n, row: row.update(Country="France"),
    "choice": lambda n, row: row.update(Training="perhaps"),
    "long name": lambda n, row: row.update(Name="x" * 201),
    "long id": lambda n, row: row.update(Id="x" * 201),
    "start without a zone": lambda n, row: row.update(Since="2025-01-01T00:00:00"),
    "start to come": lambda n, row: row.update(Since="2999-01-01T00:00:00Z"),
    "another row's id": lambda n, row: row.update(Id=f"h{n - 1}"),
    "values missing": lambda n, row: row.clear(),
}


@pytest.mark.slow
@pytest.mark.django_db
def test_import__a_mistake_of_each_kind_in_a_hundred_rows__each_named_and_the_rest_imported(tmp_path: Path) -> None:
    ActorFactory(of_commands=True)
    dice = random.Random(7)  # noqa: S311  guards nothing
    columns = ["Name", "Id", "Country", "Training", "Since"]
    mistaken = dict(zip(sorted(dice.sample(range(1, 5_000, 2), 50)), list(MISTAKES) * 5, strict=True))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for n in range(5_000):
        row = {"Name": f"Hall {n}", "Id": f"h{n}", "Country": "FR", "Training": "", "Since": ""}
        if n in mistaken:
            MISTAKES[mistaken[n]](n, row)
        writer.writerow([row[column] for column in columns] if row else ["Hall"])
    path = tmp_path / "halls.csv"
    path.write_text(out.getvalue())
    mapping = zip(("name", "external_id", "country", "choice", "since"), columns, strict=True)
    options = [*(f"--map={field}={column}" for field, column in mapping), "--plan", "le_chat_free", *ACTOR]
    problems = tmp_path / "problems.csv"
    options += ["--reference", "None is attested", "--skip-bad", "--problems", str(problems), "--format", "json"]
    result = run("import_organizations", str(path), *options)
    assert (result.code, counts(result)) == (0, {"created": 4_950, "bad": 50})
    told = list(csv.DictReader(problems.open(newline="", encoding="utf-8-sig")))
    assert [int(each["row"]) for each in told] == [n + 2 for n in mistaken]
    assert all(each["remedy"] for each in told)
    assert {mistaken[int(each["row"]) - 2]: each["column"] for each in told} == {
        "no name": "Name", "no id": "Id", "country": "Country", "choice": "Training", "long name": "Name",
        "long id": "Id", "start without a zone": "Since", "start to come": "Since", "another row's id": "Id",
        "values missing": "",
    }  # fmt: skip
    assert Organization.objects.count() == 4_950
    assert verification.verify().problems == []
    while work_once():
        pass
