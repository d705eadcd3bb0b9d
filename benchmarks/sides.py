"""Steps that benchmarks run, each in its own process: python -m benchmarks.sides STEP …; prints one line of JSON."""

import json
import resource
import sys
import time
from typing import Any

import django

from .load import OPERATORS, PRODUCT, load

PAUSES = 3  # how many of the slowest chunks are reported

# The SQL that one would write by hand for this one change; its events and settings are complete.
BARE_EVENTS = """
INSERT INTO consent_consentevent (recorded_at, organization_id, plan, subscribed, applied_default, choice, carry,
    locked, closed, allowed, reason_code, since, kind, before, after, by_operator, reference, wording,
    job_id, product, surface, actor_type, actor_id, source, reason, request_id)
SELECT %s, organization_id, plan, subscribed, applied_default, 'opted_out', '', locked, closed, FALSE,
    'organization_opted_out', %s, 'choice.opted_out', choice, 'opted_out', TRUE, '', '',
    %s, product, 'le_chat_console', 'command', %s, 'command', 'benchmark', ''
FROM consent_privacysetting WHERE product = %s AND member_id IS NULL ORDER BY organization_id"""
# Copies the events that BARE_EVENTS has just written (id above the parameter) into the stored settings.
BARE_SETTINGS = """
UPDATE consent_privacysetting AS s SET choice = 'opted_out', allowed = FALSE, reason_code = 'organization_opted_out',
    since = e.recorded_at, version = s.version + 1, changed_at = e.recorded_at, last_event_id = e.id,
    choice_event_id = e.id
FROM consent_consentevent AS e
WHERE e.id > %s AND s.organization_id = e.organization_id AND s.product = e.product AND s.member_id IS NULL"""


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def loaded(rows: str, members: str = "0") -> dict[str, Any]:
    """Make a migrated database with `rows` organizations of `members` members each."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    load(int(rows), int(members))
    return {}


def empty() -> dict[str, Any]:
    """Make a migrated database with only the operators."""
    from django.core.management import call_command

    from .load import operators

    call_command("migrate", verbosity=0)
    operators()
    return {}


def count() -> dict[str, Any]:
    from accounts.models import Organization

    return {"organizations": Organization.objects.count()}


def prepare(rows: str) -> dict[str, Any]:
    """As `loaded`, with the bulk job previewed and queued: both sides start from this database."""
    from accounts.access import Actor
    from accounts.models import User
    from consent.jobs import actions
    from consent.jobs.selection import Selection
    from consent.surfaces import LE_CHAT_CONSOLE

    loaded(rows)
    actor = Actor.from_user(User.objects.get(email=OPERATORS[0]), confirmed=True)
    begun = time.perf_counter()
    job = actions.preview_choice(
        surface=LE_CHAT_CONSOLE,
        actor=actor,
        source="command",
        choice="opted_out",
        reason="benchmark",
        selection=Selection(everything=True),
    )
    seen = time.perf_counter() - begun
    actions.submit(job=job, actor=actor, digest=job.digest)
    return {"preview": seen, "matched": job.matched}


def ours() -> dict[str, Any]:
    """Run the queued job as a worker does: in chunks, and after each chunk its events get their positions."""
    from consent import ledger
    from consent.jobs import engine
    from consent.models import BulkJob, JobStatus

    placing, chunks = 0.0, [time.perf_counter()]
    pauses: list[float] = []

    def after_chunk(_job: BulkJob) -> None:
        nonlocal placing
        done = time.perf_counter()
        pauses.append(done - chunks[0])
        ledger.sequence()
        chunks[0] = time.perf_counter()
        placing += chunks[0] - done

    begun = chunks[0]
    job = engine.claim_next()
    if job is None:
        raise RuntimeError("there is no job to run")
    job = engine.run(job, after_chunk)
    # Giving positions is reported apart, because bare SQL has nothing like it.
    seconds = time.perf_counter() - begun
    if (job.status, job.changed) != (JobStatus.DONE, job.matched):
        raise RuntimeError(f"the job is {job.status}: {job.changed} of {job.matched} changed")
    longest = sorted(pauses, reverse=True)[:PAUSES]
    return {"run": seconds - placing, "placing": placing, "chunks": len(pauses), "longest": longest, "peak": peak()}


def bare() -> dict[str, Any]:
    """Make the same change by one INSERT and one UPDATE, in one transaction that locks all rows until its end."""
    from django.db import connection, transaction

    from accounts.fields import raw_id, to_micros
    from accounts.models import User
    from consent import ledger
    from consent.models import BulkJob

    job, author = BulkJob.objects.get(), User.objects.get(email=OPERATORS[0])
    begun = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        stamp = to_micros(ledger.clock())
        cursor.execute("SELECT COALESCE(MAX(id), 0) FROM consent_consentevent")
        (before,) = cursor.fetchone()
        cursor.execute(BARE_EVENTS, [stamp, stamp, raw_id(job.pk), str(author.pk), PRODUCT])
        cursor.execute(BARE_SETTINGS, [before])
        changed = cursor.rowcount
    seconds = time.perf_counter() - begun
    if changed != job.matched:
        raise RuntimeError(f"{changed} of {job.matched} changed")
    return {"run": seconds}


def pending(events: str) -> dict[str, Any]:
    """Make a migrated database with so many events without a position, two for each organization."""
    from django.core.management import call_command

    from consent import ledger

    call_command("migrate", verbosity=0)
    load(int(events) // 2, place=False)
    return {"pending": ledger.pending()}


def verify() -> dict[str, Any]:
    from consent import verification

    begun = time.perf_counter()
    report = verification.verify()
    seconds = time.perf_counter() - begun
    return {"problems": report.problems, "pending": report.pending, "seconds": seconds, "peak": peak()}


def done() -> dict[str, Any]:
    """Check that the job is done, and that each row was changed or already had the wanted value."""
    from consent.models import BulkJob, JobStatus

    job = BulkJob.objects.get()
    whole = job.status == JobStatus.DONE and job.changed + job.unchanged == job.matched
    return {"problems": [] if whole else [f"the job is {job.status}: {job.changed} of {job.matched}; {job.error}"]}


STEPS = {step.__name__: step for step in (loaded, empty, count, prepare, ours, bare, pending, verify, done)}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))  # type: ignore[operator]
