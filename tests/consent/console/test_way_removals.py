"""The last step of the way of a choice: earlier data is removed from what was trained on it; counted, not named."""

import datetime as dt
import re
from typing import Any

import pytest

from accounts.access import Actor
from consent import ledger
from consent.models import ConsentEvent, OpenRemoval, RemovalBatch, TrainingRun
from consent.presentation import removal_steps
from consent.services import choices, removals, runs
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.console import CONTROLS, opted_out_by_owner, signed_in
from tests.support.training import register

pytestmark = pytest.mark.django_db


def last_number() -> int:
    ledger.sequence()
    return ConsentEvent.objects.latest("pk").pk


def shown(cast: Cast, number: int, role: str = "owner", path: str = "") -> str:
    response = signed_in(cast, role).get(path or f"/o/{cast.labs.pk}/way/{number}/")
    assert response.status_code == 200
    return re.sub(r'\s+|name="csrfmiddlewaretoken" value="[^"]*"', " ", response.content.decode())


def issue(cast: Cast, run: TrainingRun) -> RemovalBatch:
    batch = removals.issue(run=run, actor=cast.provider, source="api")
    assert batch is not None
    return batch


def test_step__of_an_organizations_opt_out__goes_from_open_to_done(cast: Cast) -> None:
    act: dict[str, Any] = {"actor": cast.provider, "source": "api"}
    one, two = register(actor=cast.provider, name="secret-run"), register(actor=cast.provider)
    opted_out_by_owner(cast)
    number = last_number()
    assert "2 training runs may hold earlier data; it has been removed from 0." in shown(cast, number)
    batch = issue(cast, one)
    page = shown(cast, number)
    assert "Of one it is to be removed by" in page and "secret-run" not in page
    OpenRemoval.objects.update(due_at=ledger.clock())
    removals.acknowledge(batch=batch, removed=1, **act)
    assert "One says it has been removed" in shown(cast, number)
    runs.retire(run=two, reason="over", **act)
    page = shown(cast, number)
    assert "1 training run may hold earlier data; it has been removed from 1." in page
    assert 'data-state="done"> <p> <b>Removed from earlier training</b>' in page


def test_step__overdue_and_retired__say_so(cast: Cast) -> None:
    one, two = register(actor=cast.provider), register(actor=cast.provider)
    opted_out_by_owner(cast)
    number = last_number()
    for run in (one, two):
        issue(cast, run)
    runs.retire(run=two, reason="over", actor=cast.provider, source="api")
    (late,) = one.batches.all()
    (step,) = steps_at(number, late.due_at + dt.timedelta(seconds=1))
    assert step.state == "late"
    assert {words for words, _at in step.lines} == {
        "Of one it is overdue; it was due",
        "The model of one is no longer in use",
    }


def steps_at(number: int, at: dt.datetime) -> Any:
    event = ConsentEvent.objects.select_related("placed").get(pk=number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removal_steps.timezone, "now", lambda: at)
        return removal_steps.removal_steps(event, event.placed.position)


def test_step__no_run_can_hold_the_data__there_is_none(cast: Cast) -> None:
    # Brage's data was never used, and a run that was filtered after the choice respects it.
    register(actor=cast.provider)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.brage, choice="opted_out", actor=cast.provider, source="admin"
    )
    never = ConsentEvent.objects.select_related("placed").get(pk=last_number())
    assert removal_steps.removal_steps(never, never.placed.position) == []
    assert removal_steps.removal_steps(never, None) == []


def test_step__run_filtered_after_the_choice__is_not_counted(cast: Cast) -> None:
    opted_out_by_owner(cast)
    number = last_number()
    register(actor=cast.provider)
    assert "Removed from earlier training" not in shown(cast, number)


def test_step__of_a_members_own_choice__is_shown_to_them_alone(cast: Cast) -> None:
    run = register(actor=cast.provider)
    opted_out_by_owner(cast)
    number = last_number()
    before = shown(cast, number)
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=cast.labs, member=cast.labs_member, choice="opted_out",
        actor=Actor.from_user(cast.member, confirmed=True), source="data_controls",
    )  # fmt: skip
    own = last_number()
    assert shown(cast, number) == before
    issue(cast, run)
    page = shown(cast, own, "member", f"{CONTROLS}way/{own}/")
    assert "1 training run may hold earlier data" in page
