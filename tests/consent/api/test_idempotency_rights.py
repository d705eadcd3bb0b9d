"""A stored answer is repeated only to callers who still have the right: every endpoint × every way to lose it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import ApiKey, Member, User
from consent import ledger
from consent.api import bulk_jobs, members, organizations, runs
from consent.api.urls import urlpatterns
from consent.jobs import actions
from consent.jobs.selection import Selection
from consent.models import BulkJob
from consent.services import credentials
from consent.services import members as service
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.callers import Caller, World, by_key, by_session, make_world
from tests.support.commands import database
from tests.support.recordings import Recorded
from tests.support.training import report, with_snapshots

pytestmark = pytest.mark.django_db
CANARY = "canary@kvasir.example"
BULK = {"surface": "le_chat_console", "choice": "opted_out", "select": {"everything": True}, "reason": CANARY}
ENDPOINTS: dict[Any, tuple[str, Any]] = {
    members.Members: ("organizations/{labs}/members/", {"email": CANARY, "name": "", "role": "auditor"}),
    organizations.Organizations: ("organizations/", {"name": CANARY, "kind": "team"}),
    bulk_jobs.BulkJobs: ("bulk-jobs/", BULK),
    runs.TrainingRuns: ("training-runs/", {"name": CANARY, "reports": [report(1)]}),
    bulk_jobs.BulkJobUndo: ("bulk-jobs/{job}/undo/", {"reason": CANARY}),
}
FOR_ORGANIZATIONS = (members.Members,)


def make_busy_world() -> World:
    made = make_world()
    ledger.sequence()
    job = actions.preview_choice(
        surface=LE_CHAT_CONSOLE, selection=Selection(everything=True), choice="opted_out", reason="x",
        actor=made.cast.provider, source="admin",
    )  # fmt: skip
    BulkJob.objects.filter(pk=job.pk).update(status="done", changed=1)
    return made


@pytest.fixture
def world(db: None, recorded: Recorded[World]) -> World:
    return recorded(make_busy_world).load()


def test_table__has_every_endpoint_that_repeats_answers() -> None:
    views = {pattern.callback.view_class for pattern in urlpatterns if hasattr(pattern.callback, "view_class")}
    assert {view for view in views if hasattr(getattr(view, "post", None), "repeats_answers")} == set(ENDPOINTS)


def operator_ends(world: World) -> None:
    User.objects.filter(pk=world.cast.operator.pk).update(is_staff=False)
    credentials.suspend_for(world.cast.operator, actor=world.cast.provider)


def operator_is_deactivated(world: World) -> None:
    User.objects.filter(pk=world.cast.operator.pk).update(is_active=False)


def admin_is_removed(world: World) -> None:
    member = Member.objects.get(user=world.cast.admin, organization=world.cast.labs)
    service.remove_member(member=member, actor=world.cast.provider, source="admin")


def admin_is_demoted(world: World) -> None:
    member = Member.objects.get(user=world.cast.admin, organization=world.cast.labs)
    service.update_member(member=member, role="auditor", actor=world.cast.provider, source="admin")


def admin_is_deactivated(world: World) -> None:
    User.objects.filter(pk=world.cast.admin.pk).update(is_active=False)


def key_is_suspended(_world: World) -> None:
    ApiKey.objects.update(suspended_at=timezone.now())


def key_is_revoked(_world: World) -> None:
    ApiKey.objects.update(revoked_at=timezone.now())


def key_loses_its_scopes(_world: World) -> None:
    ApiKey.objects.update(scopes=["decisions:read"])


Lose = Callable[[World], None]
CASES: list[tuple[Any, str, Lose, tuple[int, ...]]] = []
for _view in ENDPOINTS:
    CASES += [(_view, "operator", lose, (401, 403, 404)) for lose in (operator_ends, operator_is_deactivated)]
    CASES += [
        (_view, "operator's key", lose, (401, 403))
        for lose in (operator_ends, operator_is_deactivated, key_is_suspended, key_is_revoked, key_loses_its_scopes)
    ]
for _view in FOR_ORGANIZATIONS:
    CASES += [(_view, "admin", lose, (401, 403, 404))
              for lose in (admin_is_removed, admin_is_demoted, admin_is_deactivated)]  # fmt: skip
    CASES += [
        (_view, "admin's key", lose, (401, 403))
        for lose in (admin_is_removed, admin_is_demoted, admin_is_deactivated, key_is_suspended, key_is_revoked)
    ]


def caller(world: World, who: str) -> Caller:
    scopes = ("organizations:read", "organizations:write", "consent:read", "consent:write")
    match who:
        case "operator":
            return by_session(world.cast.operator)
        case "admin":
            return by_session(world.cast.admin)
        case "operator's key":
            return by_key(*scopes, "runs:write", issued_by=world.cast.operator)
    return by_key(*scopes, organization=world.cast.labs, issued_by=world.cast.admin)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("view", "who", "lose", "statuses"), CASES, ids=[f"{v.__name__} {w} {lose.__name__}" for v, w, lose, _s in CASES]
)
def test_replay__right_lost_meanwhile__refused_without_the_answer(
    world: World, view: Any, who: str, lose: Lose, statuses: tuple[int, ...]
) -> None:
    path, body = ENDPOINTS[view]
    path = path.format(labs=world.cast.labs.pk, job=BulkJob.objects.get(reason="x").pk)
    with_snapshots(report(1))
    asks = caller(world, who)
    first = asks.post(path, body, idempotency_key="once")
    assert first.status_code in (201, 202), first.content
    assert asks.post(path, body, idempotency_key="once")["Idempotent-Replayed"] == "true"
    lose(world)
    before = database()
    again = asks.post(path, body, idempotency_key="once")
    assert again.status_code in statuses
    assert CANARY not in again.content.decode() and "Idempotent-Replayed" not in again
    assert database() == before
