"""Helpers for tests of imports: a text as a file, given to a command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accounts.access import Actor
from accounts.models import User
from consent.imports import reading
from consent.imports.fields import ImportPlan
from consent.jobs import actions
from consent.models import BulkJob
from tests.support.commands import ACTOR, Run, run
from tests.support.factories import UserFactory

SECOND = "frida@provider.example"
Import = Callable[..., Run]


def importer(command: str, folder: Path) -> Import:
    """A function that imports this text with these options."""

    def load(text: str | bytes, *options: str, name: str = "file.csv") -> Run:
        path = folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return run(command, str(path), *ACTOR, "--format", "json", *options)

    return load


def counts(result: Run) -> dict[str, int]:
    """The outcomes that occur, with their counts."""
    return {name: value for name, value in result.json.items() if type(value) is int and value}


def approve_and_run(result: Run) -> Any:
    """Approve the job as a second operator and run it, by command; returns the run's JSON."""
    if not User.objects.filter(email=SECOND).exists():
        UserFactory(email=SECOND, name="Frida Berg", operator=True, old=True)
    job = result.json["job"]
    assert run("job", "approve", job, "--actor", SECOND).code == 0
    return run("job", "run", job, "--format", "json").json


def queued_import(actor: Actor, plan: ImportPlan, text: str) -> BulkJob:
    """A job that has read and previewed the text, and waits for a worker."""
    file = reading.upload(table=plan.table, name="file.csv", data=[text.encode()], actor=actor)
    job = reading.prepare(plan=plan, actor=actor, source="admin", name=file.name, **{reading.FILE: str(file.pk)})
    assert reading.read_next()
    job.refresh_from_db()
    return actions.submit(job=job, actor=actor, digest=job.digest)
