"""How long a click on a switch in the console takes, alone and while a job changes many organizations.

    python -m benchmarks.toggles [--rows 1000000] [--clicks 500]

Runs a server, a worker, and one user who owns some of the organizations that the job changes, spread over the whole
job. A click is the request that the page sends, measured until its response.
"""

import dataclasses
import itertools
import json
import math
import statistics
import sys
from collections.abc import Iterator
from typing import Any

import django

from . import console, databases
from .databases import Place
from .load import OPERATORS
from .tables import Line, run, show

GOAL = 0.5  # seconds, for the 99th percentile
OWNED = 40
EMAIL, PASSWORD = "owner@bench.example", "flips switches all day long"
NAME = "toggles"


@dataclasses.dataclass(frozen=True)
class Click:
    seconds: float
    stale: bool  # the setting had been changed in between, so nothing was saved


def measure(where: Place, rows: int, clicks: int) -> list[Line]:
    """The lines of the table: `clicks` clicks alone, and as many as fit while the job runs."""
    try:
        url = where.fresh(NAME)
        databases.step(url, "sides", "prepare", str(rows))
        paths = databases.step(url, "toggles", "people")["paths"]
        with console.server(url) as port:
            clicking = _clicks(console.Person(port, EMAIL, PASSWORD), paths)
            next(clicking)  # leave out the first one, which includes work that is done once
            alone = list(itertools.islice(clicking, clicks))
            beside = _beside_job(url, clicking)
        if problems := databases.step(url, "sides", "done")["problems"]:
            raise RuntimeError("; ".join(problems))
    finally:
        where.drop(NAME)
    stale = sum(click.stale for click in beside)
    show(f"{where.label}: {len(beside)} clicks beside the job, {stale} of them on what it had just changed")
    return [_line(where, rows, "alone", alone), _line(where, rows, "beside the job", beside, goal=True)]


def _clicks(person: console.Person, paths: list[str]) -> Iterator[Click]:
    """Click on the switches in turn, without end. After a stale click the page is loaded again, as a browser does."""
    switches = {path: person.look(path) for path in paths}
    for path in itertools.cycle(paths):
        seconds, shown = person.flip(path, switches[path])
        switches[path] = shown or person.look(path)
        yield Click(seconds, stale=shown is None)


def _beside_job(url: str, clicking: Iterator[Click]) -> list[Click]:
    """The clicks that began while the worker ran the job; at least one."""
    worker = databases.start(url, "manage.py", "worker", "--once", piped=False)
    try:
        found = [next(clicking)]
        while worker.poll() is None:
            found.append(next(clicking))
        if worker.returncode:
            raise RuntimeError(f"the worker ended with {worker.returncode}")
    finally:
        worker.kill()
        worker.communicate()
    return found


def _line(where: Place, rows: int, when: str, clicks: list[Click], *, goal: bool = False) -> Line:
    seconds = sorted(click.seconds for click in clicks)
    most = seconds[math.ceil(len(seconds) * 0.99) - 1]
    found = ", ".join(
        f"{name} {value * 1000:.0f} ms"
        for name, value in (("p50", statistics.median(seconds)), ("p99", most), ("max", seconds[-1]))
    )
    what = f"click on a switch, {when} ({rows:,} rows; {len(clicks)} clicks)"
    return Line(where.label, what, found, f"p99 < {GOAL * 1000:.0f} ms" if goal else "", most < GOAL if goal else None)


def people() -> dict[str, Any]:
    """Create the user, owner of OWNED organizations spread over the table. Returns the paths of their switches."""
    from django.urls import reverse

    from accounts.access import Actor
    from accounts.models import Organization, User
    from consent.services import members

    operator = Actor.from_user(User.objects.get(email=OPERATORS[0]), confirmed=True)
    User.objects.create_user(EMAIL, PASSWORD, name="Owner")
    organizations = Organization.objects.order_by("pk")
    owned = list(organizations[:: max(1, organizations.count() // OWNED)])[:OWNED]
    for organization in owned:
        members.add_member(organization=organization, email=EMAIL, role="owner", actor=operator, source="admin")
    return {"paths": [reverse("console:le-chat", args=[organization.pk]) for organization in owned]}


if __name__ == "__main__":
    if sys.argv[1:] == ["people"]:
        django.setup()
        print(json.dumps(people()))
    else:
        run(__doc__, measure, rows=1_000_000, clicks=500)
