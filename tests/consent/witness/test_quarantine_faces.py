"""In quarantine no face loosens anything, and every face takes what protects: by table, act × face.

Each act is also done when the quarantine is over: so it was the quarantine alone that it was refused for.
"""

from typing import Any

import pytest
from django.core.management import get_commands
from django.urls import URLResolver, get_resolver

from accounts.models import Plan
from consent import ledger
from consent.models import BulkJob, ConsentEvent, EventKind, OperatorRequest, PendingEvent
from consent.witness import quarantine
from tests.support import loosening_nothing
from tests.support.acts import Act, Answer, Call, Command, Face, Form, ids_of
from tests.support.callers import World
from tests.support.ledger_guards import everything
from tests.support.loosening import LOOSENING
from tests.support.permission_matrix import ROWS
from tests.support.protecting import PROTECTING
from tests.support.quarantine import in_quarantine

pytestmark = pytest.mark.django_db
SAID = "The database may be older than what was stored last"


def cases(table: dict[str, Act]) -> list[Any]:
    return [pytest.param(act, face, id=f"{name} / {face}") for name, act in table.items() for face in act.faces]


def all_there_is() -> list[Any]:
    """Without previews of jobs, which change nothing yet."""
    more = [Plan.objects.all(), OperatorRequest.objects.all(), BulkJob.objects.exclude(status="previewed")]
    return [*everything(), *(list(rows.order_by("pk").values_list()) for rows in more)]


@pytest.mark.parametrize(("act", "face"), cases(LOOSENING))
def test_loosening__in_quarantine__is_refused_and_said_and_changes_nothing(act: Act, face: str, world: World) -> None:
    ids, do = ids_of(world, act.before(world)), act.faces[face]
    before, last = all_there_is(), ConsentEvent.objects.latest("pk").pk
    with in_quarantine():
        answer = do(world, ids)
        assert answer.code == (1 if isinstance(do, Command) else 409), answer
        assert SAID in answer.said
        assert all_there_is() == before
    was_done(act, do, do(world, ids), last)


@pytest.mark.parametrize(("act", "face"), cases(PROTECTING))
def test_protecting__in_quarantine__is_taken_and_gets_its_position_later(act: Act, face: str, world: World) -> None:
    ids, do = ids_of(world, act.before(world)), act.faces[face]
    ledger.sequence()
    before, last, head = all_there_is(), ConsentEvent.objects.latest("pk").pk, ledger.head()
    with in_quarantine():
        was_done(act, do, do(world, ids), last)
        assert all_there_is() != before
        assert ledger.sequence() == 0 and ledger.head() == head
    assert ledger.sequence() == ConsentEvent.objects.filter(pk__gt=last).count()
    assert not PendingEvent.objects.exists()


def was_done(act: Act, do: Face, answer: Answer, last: int) -> None:
    assert answer.code in ((0,) if isinstance(do, Command) else (200, 201, 202, 204, 302)), answer
    kinds = set(ConsentEvent.objects.filter(pk__gt=last).values_list("kind", flat=True))
    assert (act.kind in kinds) is not act.later


# --- The table has everything -----------------------------------------------------------------------------------------

ACTS = [*LOOSENING.values(), *PROTECTING.values()]


def places(kind: type[Face]) -> set[str]:
    return {face.place for act in ACTS for face in act.faces.values() if isinstance(face, kind)}


def test_table__every_kind_of_event__loosens_protects_or_is_said_to_do_neither() -> None:
    assert {act.kind for act in ACTS} | loosening_nothing.KINDS == set(EventKind)
    assert {act.kind for act in ACTS}.isdisjoint(loosening_nothing.KINDS)
    for kind in EventKind:  # what is refused whatever became of the layer
        days = kind == EventKind.COOLING_OFF_CHANGED
        event = ConsentEvent(kind=kind, before="7" if days else "", after="1" if days else "opted_in", allowed=False)
        assert not quarantine.loosens(event) or kind in {act.kind for act in LOOSENING.values()}


@pytest.mark.parametrize("site", ["console", "admin"])
def test_table__every_url_of_pages__is_in_it_or_said_to_loosen_nothing(site: str) -> None:
    (found,) = (each for each in get_resolver().url_patterns if getattr(each, "namespace", None) == site)
    assert isinstance(found, URLResolver)
    named = {str(each.name) for each in found.url_patterns if getattr(each, "name", None)}
    for model in found.url_patterns:
        named |= {str(each.name) for each in getattr(model, "url_patterns", ()) if each.name}
    of_lists = {name for name in named if name.endswith(("_changelist", "_history"))}
    table = {name.removeprefix(f"{site}:") for name in places(Form) if name.startswith(f"{site}:")}
    assert table | getattr(loosening_nothing, site.upper()) == named - of_lists
    assert table.isdisjoint(getattr(loosening_nothing, site.upper()))


def test_table__every_write_of_the_api__is_in_it_or_said_to_loosen_nothing() -> None:
    writes = {f"{row.method} {row.route}" for row in ROWS if row.method != "GET"}
    assert places(Call) | loosening_nothing.API == writes
    assert places(Call).isdisjoint(loosening_nothing.API)


def test_table__every_command__is_in_it_or_said_to_loosen_nothing() -> None:
    commands = {name for name, app in get_commands().items() if app == "consent"}
    assert places(Command) | loosening_nothing.COMMANDS == commands
    assert places(Command).isdisjoint(loosening_nothing.COMMANDS)
