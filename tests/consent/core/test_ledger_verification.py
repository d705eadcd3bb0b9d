"""verify() finds and names what was changed without the services, and reports nothing if nothing was."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from accounts.access import Actor
from accounts.models import Member, Organization, Subscription
from consent import ledger, triggers, verification
from consent.models import ConsentEvent, EventPosition, Lock, PendingEvent, PrivacySetting
from consent.services import choices, locks, members, organizations
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member
from tests.support.ledger_guards import behind_the_guards, everything, sql
from tests.support.recordings import Recorded

pytestmark = pytest.mark.thorough

LEDGER, POSITION, PENDING = triggers.LEDGER, triggers.POSITION, triggers.PENDING


def make_history() -> Cast:
    made = casting.make()
    of_labs = {"organization": made.labs, "actor": made.provider, "source": "admin"}
    choices.choose(surface=LE_CHAT_CONSOLE, **of_labs, choice="opted_out")
    opt_out_as_member(made)
    locks.place_lock(**of_labs, product="ai_studio", reason="By contract", reference="C-1")
    members.remove_member(member=made.labs_member, actor=made.provider, source="admin")
    organizations.update_organization(**of_labs, country="SE")
    organizations.close_organization(
        organization=made.brage, actor=made.provider, source="admin", reason="Contract over"
    )
    ledger.sequence()
    return made


@pytest.fixture
def history(db: None, recorded: Recorded[Cast]) -> Cast:
    """With one of everything: choices, a member's own, a lock, a leaving, a closed account; all placed."""
    return recorded(make_history).load()


def problems() -> str:
    return "\n".join(verification.verify().problems)


def test_verify__nothing_wrong__says_so_with_its_counts(history: Cast) -> None:
    report = verification.verify()
    assert report.problems == []
    assert report.head == ConsentEvent.objects.count()
    assert report.pending == 0
    assert report.settings == PrivacySetting.objects.count()
    assert report.events == ConsentEvent.objects.count()


def test_verify__empty_installation__nothing_wrong(db: None) -> None:
    report = verification.verify()
    assert (report.problems, report.events, report.head) == ([], 0, 0)


def test_verify__events_are_pending__nothing_wrong_and_counted(history: Cast) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=history.labs,
        choice="opted_out",
        actor=Actor.from_user(history.owner, confirmed=True),
        source="console",
    )
    report = verification.verify()
    assert (report.problems, report.pending) == ([], 1)


def test_verify__more_layers_than_one_batch__all_are_compared(history: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_BATCH", 2)
    seen: list[int] = []
    assert verification.verify(seen.append).problems == []
    assert seen
    setting = PrivacySetting.objects.order_by("organization_id", "pk").last()
    assert setting is not None
    PrivacySetting.objects.filter(pk=setting.pk).update(version=99)
    assert "version" in problems()


# --- The ledger ---------------------------------------------------------------------------------------------------

# Each is done with the triggers lifted, as the tables' owner could, and put back.
WITH_ORGANIZATION = "product = 'le_chat' AND member_id IS NULL"
TAMPERED: dict[str, tuple[str, str]] = {
    "an event's choice": (
        f"UPDATE {LEDGER} SET choice = 'opted_in' WHERE kind = 'choice.opted_out' AND member_id IS NULL",
        "(choice.opted_out) does not follow",
    ),
    "an event's answer": (
        f"UPDATE {LEDGER} SET allowed = (1 = 1) WHERE kind = 'choice.opted_out' AND member_id IS NULL",
        "(choice.opted_out) does not follow",
    ),
    "an event's kind": (
        f"UPDATE {LEDGER} SET kind = 'choice.opted_in' WHERE kind = 'choice.opted_out' AND member_id IS NULL",
        "(choice.opted_in) does not follow",
    ),
    "an event's kind, to one that has no place there": (
        f"UPDATE {LEDGER} SET kind = 'member.joined' WHERE kind = 'choice.opted_out' AND member_id IS NULL",
        "(member.joined) does not follow",
    ),
    "an event's since": (
        f"UPDATE {LEDGER} SET since = since - 1 WHERE kind = 'choice.opted_out' AND member_id IS NULL",
        "(choice.opted_out) does not follow",
    ),
    "an event's instant": (
        f"UPDATE {LEDGER} SET recorded_at = recorded_at - 1 WHERE kind = 'choice.opted_out' AND member_id IS NULL",
        "(choice.opted_out) does not follow",
    ),
    "an event's reason code": (
        f"UPDATE {LEDGER} SET reason_code = 'locked' WHERE kind = 'subscription.started' AND {WITH_ORGANIZATION}",
        "(subscription.started) does not follow",
    ),
    "a member's event": (
        f"UPDATE {LEDGER} SET choice = 'default', allowed = (1 = 1) WHERE member_id IS NOT NULL AND product <> ''",
        "(choice.opted_out) does not follow",
    ),
    "an event of a layer is missing": (
        f"DELETE FROM {LEDGER} WHERE kind = 'choice.opted_out' AND member_id IS NULL",
        "differ from the ledger",
    ),
    "all events of a layer are missing": (
        f"DELETE FROM {LEDGER} WHERE member_id IS NOT NULL AND product <> ''",
        "but the ledger tells of",
    ),
    "the creation is missing": (
        f"DELETE FROM {LEDGER} WHERE kind = 'organization.created'",
        "no event of its creation",
    ),
    "a leaving is missing": (f"DELETE FROM {LEDGER} WHERE kind = 'member.left'", "unlike what the ledger tells"),
    "all that is known of a member is missing": (
        f"DELETE FROM {LEDGER} WHERE kind IN ('member.left', 'member.joined')",
        "unlike what the ledger tells",
    ),
    "an event without a layer is missing": (
        f"DELETE FROM {LEDGER} WHERE kind = 'organization.updated'",
        "event",
    ),
    "a position is missing": (f"DELETE FROM {POSITION} WHERE position = 3", "positions run from 1 to"),
    "the first position is missing": (f"DELETE FROM {POSITION} WHERE position = 1", "positions run from 2 to"),
    "a position is missing and those after it have moved up": (
        f"DELETE FROM {POSITION} WHERE position = (SELECT MAX(position) FROM {POSITION})",
        "has no position and is not pending",
    ),
    "an event is placed and pending": (
        f"INSERT INTO {PENDING} (event_id) SELECT MIN(id) FROM {LEDGER}",
        "has a position and is pending",
    ),
    "a position too many": (
        f"INSERT INTO {POSITION} SELECT 1000, 1000000, organization_id, epoch FROM {POSITION} WHERE position = 1",
        "positions run from 1 to 1000",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_verify__ledger_was_tampered_with__names_it(history: Cast, what: str) -> None:
    statement, told = TAMPERED[what]
    with behind_the_guards():
        sql(statement)
    assert told in problems()


@pytest.mark.parametrize("name", sorted(triggers.expected(connection)))
def test_verify__a_trigger_or_its_function_is_gone__names_it(history: Cast, name: str) -> None:
    if table := next((each for each in triggers.GUARDED if name.startswith(each)), ""):
        sql(f"DROP TRIGGER {name}" + ("" if connection.vendor == "sqlite" else f" ON {table}"))
    else:
        sql(f"DROP FUNCTION {name}() CASCADE")
    assert f"trigger {name} is missing" in problems()


# --- The state beside it ------------------------------------------------------------------------------------------


def labs_setting(product: str = "le_chat") -> Any:
    return PrivacySetting.objects.filter(organization__name="Kvasir Labs", member=None, product=product)


def event_of_somebody_else() -> int:
    return ConsentEvent.objects.filter(organization__name="Brage Skaldskap").latest("pk").pk


CHANGED: dict[str, tuple[Callable[[Cast], object], str]] = {
    "setting, choice": (lambda history: labs_setting().update(choice="default"), "choice differ"),
    "setting, allowed": (
        lambda history: labs_setting().update(choice="opted_in", allowed=True),
        "choice, allowed differ",
    ),
    "setting, since": (lambda history: labs_setting().update(since=None), "since differ"),
    "setting, reason code": (lambda history: labs_setting().update(reason_code="locked"), "reason_code differ"),
    "setting, carry": (lambda history: labs_setting().update(carry="le_chat_teams"), "carry differ"),
    "setting, version": (lambda history: labs_setting().update(version=7), "differ from the ledger"),
    "setting, last event": (lambda history: labs_setting().update(last_event=None), "differ from the ledger"),
    "setting, last change": (lambda history: labs_setting().update(changed_at=history.labs.created_at), "setting of"),
    "setting, who chose": (lambda history: labs_setting().update(choice_event=None), "setting of"),
    "setting, who chose, another's event": (
        lambda history: labs_setting().update(choice_event=event_of_somebody_else()),
        "setting of",
    ),
    "setting, what locked": (lambda history: labs_setting("ai_studio").update(lock_event=None), "setting of"),
    "setting, what carried": (
        lambda history: labs_setting().update(carry_event=event_of_somebody_else()),
        "setting of",
    ),
    "setting deleted": (lambda history: labs_setting().delete(), "missing, though there are events"),
    "setting without events": (
        lambda history: PrivacySetting.objects.create(
            organization=history.labs, member=Member.objects.get(user=history.owner), product="le_chat"
        ),
        "settings, but the ledger tells of",
    ),
    "member's setting": (
        lambda history: PrivacySetting.objects.of_members().update(choice="opted_in", allowed=True),
        "setting of member",
    ),
    "subscription, plan": (
        lambda history: Subscription.objects.filter(plan="le_chat_pro").update(plan="le_chat_teams"),
        "subscribed without that subscription",
    ),
    "subscription ended": (
        lambda history: Subscription.objects.filter(plan="le_chat_pro").update(ended_at=ledger.clock()),
        "subscribed without that subscription",
    ),
    "subscription deleted": (
        lambda history: Subscription.objects.filter(plan="le_chat_pro").delete(),
        "subscribed without that subscription",
    ),
    "subscription added": (
        lambda history: Subscription.objects.create(
            organization=history.brage, product="ai_studio", plan_id="ai_studio_scale", started_at=ledger.clock()
        ),
        "its setting does not say so",
    ),
    "lock deleted": (lambda history: Lock.objects.all().delete(), "locked without a lock"),
    "lock lifted": (lambda history: Lock.objects.update(lifted_at=ledger.clock()), "locked without a lock"),
    "lock added": (
        lambda history: Lock.objects.create(
            organization=history.labs, product="le_chat", reason="r", reference="x", placed_at=ledger.clock()
        ),
        "its setting does not say so",
    ),
    "organization closed": (
        lambda history: Organization.objects.filter(pk=history.labs.pk).update(status="closed"),
        "open or closed unlike its organization",
    ),
    "organization reopened": (
        lambda history: Organization.objects.filter(pk=history.brage.pk).update(status="active"),
        "open or closed unlike its organization",
    ),
    "organization, instant of creation": (
        lambda history: Organization.objects.filter(pk=history.labs.pk).update(created_at=ledger.clock()),
        "no event of its creation",
    ),
    "organization added": (
        lambda history: Organization.objects.create(name="New", created_at=ledger.clock(), changed_at=ledger.clock()),
        "no event of its creation",
    ),
    "others forgotten": (
        lambda history: Organization.objects.filter(pk=history.labs.pk).update(had_others=False),
        "had other members or not, unlike what its members say",
    ),
    "others made up": (
        lambda history: Organization.objects.filter(pk=history.brage.pk).update(had_others=True),
        "had other members or not, unlike what its members say",
    ),
    "member back inside": (
        lambda history: Member.objects.filter(pk=history.labs_member.pk).update(status="active", left_at=None),
        "unlike what the ledger tells",
    ),
    "member left": (
        lambda history: Member.objects.filter(user=history.owner).update(status="left", left_at=ledger.clock()),
        "unlike what the ledger tells",
    ),
    "member, instant of joining": (
        lambda history: Member.objects.filter(user=history.owner).update(joined_at=history.labs.created_at),
        "unlike what the ledger tells",
    ),
    "member, instant of leaving": (
        lambda history: Member.objects.filter(pk=history.labs_member.pk).update(left_at=ledger.clock()),
        "unlike what the ledger tells",
    ),
    "member, role": (
        lambda history: Member.objects.filter(user=history.auditor).update(role="owner"),
        "unlike what the ledger tells",
    ),
    "member added": (
        lambda history: Member.objects.create(
            organization=history.labs, user=history.outsider, joined_at=ledger.clock(), changed_at=ledger.clock()
        ),
        "unlike what the ledger tells",
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_verify__state_was_changed_without_an_event__names_it(history: Cast, what: str) -> None:
    change, told = CHANGED[what]
    change(history)
    assert told in problems()


def test_verify__changes_nothing(history: Cast) -> None:
    labs_setting().update(version=7)
    before = everything()
    assert verification.verify().problems
    assert everything() == before
    assert EventPosition.objects.count() == ConsentEvent.objects.count()
    assert not PendingEvent.objects.exists()
