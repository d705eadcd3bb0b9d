"""The drill on one database: python -m benchmarks.drilling KILLS SEED, with DATABASE_URL naming a loaded one."""

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
LONGEST_LIFE = 0.15  # seconds from where a worker begins a job to its end by kill -9
BETWEEN_CLICKS = 0.02
PATIENCE = 120  # seconds that a worker may take to begin


class Others(threading.Thread):
    """Somebody who keeps choosing for single organizations; `touched` are theirs, `failure` what went wrong."""

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
        """Job after job until the kills are used up, all under the eyes of others who write; what is wrong."""
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
        """One of each kind, over and over."""
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
        # Others write all the time, so the selection has always drifted.
        job = actions.submit(job=job, actor=self.author, digest=job.digest, accept_drift=True)
        return actions.approve(job=job, actor=self.second) if job.status == JobStatus.AWAITING_APPROVAL else job

    def _work(self, job: BulkJob) -> None:
        """Start workers on the job and kill them, until it is done; the last one may live."""
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
            if job.status == JobStatus.RUNNING:
                self.left -= 1
                hits.append(job.cursor)
                # Nobody waits ten seconds a hundred times: the lease runs out as time passing would let it.
                BulkJob.objects.filter(pk=job.pk).update(leased_until=ledger.clock() - dt.timedelta(seconds=1))
        self.hits[job.kind] += len(hits)
        print(f"{job.get_kind_display():22} killed at {', '.join(f'{hit:,}' for hit in hits) or '–'}", flush=True)

    def _check(self, job: BulkJob) -> None:
        """Done, its numbers those of its rows and events, each change once, and nothing left out."""
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
        """Organizations that the job was to change, nobody else has touched, and that are not as it wanted them."""
        wanted = dict(job.rows.filter(refusal="").values_list("organization_id", "wanted"))
        settings = PrivacySetting.objects.of_organizations().filter(product=job.product)
        found = settings.values_list("organization_id", "choice")
        return [
            pk
            for pk, choice in found
            if pk in wanted and pk not in self.others.touched and choice != (wanted[pk] or job.wanted)
        ]


def _worker() -> subprocess.Popen[str]:
    """As an installation runs one; its log says when it begins."""
    return databases.start(
        os.environ["DATABASE_URL"], "manage.py", "worker", LOG_LEVEL="INFO", errors=subprocess.STDOUT
    )


def _begun(worker: subprocess.Popen[str]) -> None:
    """Read until it runs the job. Raises RuntimeError where it ends instead."""
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
