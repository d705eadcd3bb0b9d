"""The crash test on one database: python -m benchmarks.drilling KILLS SEED; DATABASE_URL is a loaded database."""

import datetime as dt
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import django
from django.db import connection

django.setup()

from accounts.access import Actor  # noqa: E402
from accounts.models import Organization, Plan, User  # noqa: E402
from consent import ledger, verification  # noqa: E402
from consent.jobs import actions  # noqa: E402
from consent.jobs.selection import Selection  # noqa: E402
from consent.models import BulkJob, ConsentEvent, JobKind, JobStatus, PrivacySetting  # noqa: E402  # noqa: E402
from consent.services import choices  # noqa: E402
from consent.surfaces import LE_CHAT_CONSOLE  # noqa: E402

from . import databases  # noqa: E402
from .load import OPERATORS, PLAN  # noqa: E402

CHOICES = ("opted_out", "opted_in")
LONGEST_LIFE = 0.15  # the most seconds between a worker's start of a job and kill -9
BETWEEN_CLICKS = 0.02  # seconds between the choices of `Others`
PATIENCE = 120  # seconds in which a worker that is not killed must finish the job


class Others(threading.Thread):
    """Makes choices for single organizations all the time, concurrently with the jobs.

    `touched`: the organizations that it chose for; `failure`: the exception that ended it, if any.
    """

    def __init__(self, actor: Actor, ids: list[object], seed: int) -> None:
        super().__init__(daemon=True)
        self.actor, self.ids, self.dice = actor, ids, random.Random(seed)  # noqa: S311  chance, no secret
        self.touched: set[object] = set()
        self.failure: Exception | None = None
        self.over = threading.Event()

    def run(self) -> None:
        try:
            while not self.over.wait(BETWEEN_CLICKS):
                organization = Organization.objects.get(pk=self.dice.choice(self.ids))
                self.touched.add(organization.pk)
                choices.choose(
                    surface=LE_CHAT_CONSOLE,
                    organization=organization,
                    choice=self.dice.choice(CHOICES),
                    actor=self.actor,
                    source="admin",
                    reason="as they asked",
                    version_required=False,
                )
        except Exception as error:
            self.failure = error
        finally:
            connection.close()


class Drill:
    def __init__(self, kills: int, seed: int) -> None:
        self.author, self.second = (
            Actor.from_user(User.objects.get(email=email), confirmed=True) for email in OPERATORS
        )
        self.ids: list[object] = list(Organization.objects.order_by("pk").values_list("pk", flat=True))
        self.left, self.dice = kills, random.Random(seed)  # noqa: S311
        self.others = Others(self.second, self.ids, seed + 1)
        self.problems: list[str] = []
        self.hits: Counter[str] = Counter()

    def run(self) -> list[str]:
        """Run jobs until all kills are used up, while `Others` writes too. Returns the problems found."""
        self.others.start()
        try:
            for job in self._jobs():
                self._work(job)
                self._check(BulkJob.objects.get(pk=job.pk))
                if not self.left:
                    break
        finally:
            self.others.over.set()
            self.others.join()
        if self.others.failure:
            self.problems.append(f"somebody else's choice failed: {self.others.failure!r}")
        ledger.sequence()  # what was chosen after the last worker
        self.problems += verification.verify().problems
        return self.problems

    def _jobs(self) -> Iterator[BulkJob]:
        """Jobs of each kind in turn, without end."""
        for n in itertools.count():
            all_out = self._queued(self._choice("opted_out", selection=Selection(everything=True)))
            yield all_out
            yield self._undone(all_out)
            wishes = {pk: self.dice.choice(CHOICES) for pk in self.ids}
            mixed = self._queued(self._choice(wishes=wishes))
            yield mixed
            plan = Plan.objects.get(pk=PLAN)
            default = CHOICES[n % 2]
            yield self._queued(
                actions.preview_default(plan=plan, default=default, actor=self.author, source="command", reason="drill")
            )
            yield self._undone(mixed)

    def _undone(self, job: BulkJob) -> BulkJob:
        job.refresh_from_db()
        return self._queued(actions.preview_undo(job=job, actor=self.author, source="command", reason="drill"))

    def _choice(self, choice: str = "", **what: object) -> BulkJob:
        wish = {"surface": LE_CHAT_CONSOLE, "actor": self.author, "source": "command", "reason": "drill"}
        return actions.preview_choice(choice=choice, **wish, **what)  # type: ignore[arg-type]

    def _queued(self, job: BulkJob) -> BulkJob:
        # `Others` writes all the time, so the selection has always drifted from its preview.
        job = actions.submit(job=job, actor=self.author, digest=job.digest, accept_drift=True)
        return actions.approve(job=job, actor=self.second) if job.status == JobStatus.AWAITING_APPROVAL else job

    def _work(self, job: BulkJob) -> None:
        """Start workers for the job and kill them, until it is done. With no kills left, a worker may finish it."""
        hits = []
        while job.status in (JobStatus.QUEUED, JobStatus.RUNNING):
            worker = _worker()
            try:
                _begun(worker)
                if self.left:
                    time.sleep(self.dice.uniform(0, LONGEST_LIFE))
                else:
                    _until(lambda pk=job.pk: BulkJob.objects.get(pk=pk).is_over)
            finally:
                worker.kill()
                worker.communicate()
            job = BulkJob.objects.get(pk=job.pk)
            # Still running: the kill came in the middle of the job. A job that was done before is no hit.
            if job.status == JobStatus.RUNNING:
                self.left -= 1
                hits.append(job.cursor)
                # Let the lease expire now, instead of waiting 10 seconds for it after each kill.
                BulkJob.objects.filter(pk=job.pk).update(leased_until=ledger.clock() - dt.timedelta(seconds=1))
        self.hits[job.kind] += len(hits)
        print(f"{job.get_kind_display():22} killed at {', '.join(f'{hit:,}' for hit in hits) or '–'}", flush=True)

    def _check(self, job: BulkJob) -> None:
        """Check that the job is done, its counts agree with its rows and events, and each change was made once."""
        subjects = list(ConsentEvent.objects.filter(job=job).values_list("organization_id", flat=True))
        refused = job.rows.exclude(refusal="").count()
        facts = {
            f"it is {job.status}: {job.error}": job.status == JobStatus.DONE,
            f"{len(subjects)} events, {job.changed} changed": len(subjects) == job.changed,
            f"{len(subjects) - len(set(subjects))} changed twice": len(subjects) == len(set(subjects)),
            f"{refused} rows refused, {job.refused} counted": refused == job.refused == sum(job.refusals.values()),
            "not every row is accounted for": job.changed + job.unchanged + job.refused == job.matched
            and job.rows.count() == job.matched == job.cursor,
            "a row was left out": job.kind != JobKind.CHOICE or not self._left_out(job),
        }
        self.problems += [f"{job}: {problem}" for problem, holds in facts.items() if not holds]

    def _left_out(self, job: BulkJob) -> list[object]:
        """Organizations that do not have the choice the job should have made, though `Others` has not touched them."""
        wanted = dict(job.rows.filter(refusal="").values_list("organization_id", "wanted"))
        settings = PrivacySetting.objects.of_organizations().filter(product=job.product)
        found = settings.values_list("organization_id", "choice")
        return [
            pk
            for pk, choice in found
            if pk in wanted and pk not in self.others.touched and choice != (wanted[pk] or job.wanted)
        ]


def _worker() -> subprocess.Popen[str]:
    """Start a worker as an installation does, with the log level that reports when a job begins."""
    return databases.start(
        os.environ["DATABASE_URL"], "manage.py", "worker", LOG_LEVEL="INFO", errors=subprocess.STDOUT
    )


def _begun(worker: subprocess.Popen[str]) -> None:
    """Read the worker's log until it runs the job. Raises RuntimeError if the worker ends before."""
    for line in worker.stdout or ():
        if "running from row" in line:
            return
    raise RuntimeError("the worker has ended by itself")


def _until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > limit:
            raise RuntimeError("a worker that nobody kills does not get the job done")
        time.sleep(0.05)


def main() -> int:
    kills, seed = map(int, sys.argv[1:])
    drill = Drill(kills, seed)
    begun = time.monotonic()
    problems = drill.run()
    for problem in problems:
        print(f"PROBLEM: {problem}", file=sys.stderr)
    print(
        f"{drill.hits.total()} kills in {time.monotonic() - begun:.0f} s, {len(drill.others.touched)} organizations"
        f" touched by others, {ConsentEvent.objects.count():,} events: {len(problems)} problems",
        flush=True,
    )
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
