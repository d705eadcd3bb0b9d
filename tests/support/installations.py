"""Installations for tests of moving: one with rows of every kind, and one as empty as after `migrate`."""

import uuid
from typing import Any

from allauth.mfa.totp.internal.auth import TOTP
from django.db import connection, models
from django.utils import timezone

from accounts.authentication import recognise
from accounts.fields import InstantField
from accounts.models import ApiKey, Invitation, Organization, Plan, User
from consent import ledger, triggers
from consent.imports import reading
from consent.jobs import actions
from consent.jobs.selection import Selection
from consent.log import origins
from consent.models import EventKind, Installation, Restore
from consent.services import choices, consumers, cooling_off, locks, organizations, removals, runs, trail, webhooks
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from consent.transfer import state
from tests.conftest import lift_triggers
from tests.support import cast as casting
from tests.support import log
from tests.support.keys import issue_key
from tests.support.ledger_guards import settle
from tests.support.training import register


def fill() -> None:
    """Create rows of most kinds: choices of both scopes, a lock, a key, a job, events with and without positions."""
    made = casting.make()
    choices.choose(
        surface=LE_CHAT_MOBILE,
        organization=made.labs,
        member=made.labs_member,
        choice="opted_out",
        actor=casting.Actor.from_user(made.member, confirmed=True),
        source="data_controls",
    )
    locks.place_lock(
        organization=made.brage,
        product="le_chat",
        reason="Le “contrat”\tde Brage \\ 1\t",
        reference="C-1",
        actor=made.provider,
        source="admin",
    )
    issue_key("Pipeline", [ApiKey.Scope.DECISIONS_READ])
    Plan.objects.filter(key="le_chat_free").update(training_default="opted_out")
    ledger.sequence()
    actions.preview_choice(
        surface=LE_CHAT_CONSOLE,
        choice="opted_out",
        selection=Selection(everything=True),
        actor=made.provider,
        source="admin",
        reason="Asked for.",
    )
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=made.labs, choice="opted_out", actor=made.provider, source="admin"
    )


def empty() -> None:
    """Make the database as empty as after `migrate`."""
    settle()
    lift_triggers()
    with connection.cursor() as cursor:
        for model in reversed(state.tables()):
            if model not in (Plan, Installation):
                cursor.execute(f"DELETE FROM {model._meta.db_table}")
    Plan.objects.filter(key="le_chat_free").update(training_default="opted_in")
    settle()
    triggers.install(connection)


def fill_all() -> None:
    """Like `fill`, with a row in every other table too, and values that are hard to serialize."""
    fill()
    with log.kept():
        log.add_events(260)
        log.step()
    origins.pause()  # as an import leaves it
    operator = User.objects.get(is_staff=True)
    owner, organization = User.objects.get(email="ada@kvasir.example"), Organization.objects.get(name="Kvasir Labs")
    by: dict[str, Any] = {"actor": casting.Actor.from_user(operator, confirmed=True), "source": "admin"}
    organizations.update_organization(organization=organization, external_id="labs", **by)
    cooling_off.lengthen(product="le_chat", days=7, **by)
    webhooks.create_endpoint(organization=organization, url="https://example.com/hook", **by)
    made = consumers.register(name="b", purpose="x", contact="x", expected_lag_minutes=1, **by)
    consumers.report(consumer=made.consumer, position=2, actor=recognise(made.text))
    fill_runs(organization, by)
    fill_restore(by)
    TOTP.activate(owner, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    data = bytes(range(256)) + "é\\x00\n".encode()
    reading.upload(table="choices", name="choices.csv", data=[data, b"\xff"], actor=by["actor"])
    fill_next_origin()
    for model in state.tables():
        if not model._base_manager.exists():
            values = {field.name: _value(field) for field in model._meta.local_concrete_fields}
            model._base_manager.create(**values | ({"invited_by": owner} if model is Invitation else {}))
    ledger.sequence()
    choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=organization,
        choice="opted_in",
        reason="Agreed",
        version_required=False,
        **by,
    )


def fill_runs(organization: Organization, by: dict[str, Any]) -> None:
    """A run with a removal that is acknowledged and one that is open, and a run that is retired."""
    run = register(actor=by["actor"], external_id="exp-12")
    lock: dict[str, Any] = {"organization": organization, "product": "le_chat", **by}
    locks.place_lock(reason="Contract", reference="C-2", **lock)
    batch = removals.issue(run=run, **by)
    assert batch is not None
    removals.acknowledge(batch=batch, removed=1, **by)
    locks.lift_lock(reason="Over", **lock)
    assert removals.issue(run=run, **by)
    runs.retire(run=register(actor=by["actor"]), reason="Replaced", **by)


def fill_restore(by: dict[str, Any]) -> None:
    """A restore that was adopted, and lost nothing."""
    ledger.sequence()
    head = ledger.head()
    event = trail.note(EventKind.RESTORE_ADOPTED, organization=None, target=2, after=f"{head}, {head}", **by)
    Installation.objects.update(epoch=2)
    Restore.objects.create(epoch=2, restored_to=head, lost_to=head, adopted_at=event.recorded_at, event=event)


def fill_next_origin() -> None:
    """The log after that restore: a checkpoint of its next origin."""
    with log.kept():
        origins.resume()
        log.step()
    origins.pause()


def _value(field: "models.Field[Any, Any]") -> Any:
    if field.null:
        return None
    if isinstance(field, models.ForeignKey):
        return field.related_model._base_manager.first()  # type: ignore[union-attr]
    if isinstance(field, models.EmailField):
        return "x@move.example"
    if field.choices:
        return next(iter(field.choices))[0]
    now = timezone.now().replace(microsecond=120)
    return {
        "UUIDField": uuid.uuid4(),
        "CharField": "Ünïcode \\N\t“x”"[: field.max_length],
        "TextField": "two\nlines\\",
        "BooleanField": False,
        "DateField": now.date(),
        "DateTimeField": now,
        "JSONField": {"é": [None, 1.5, "\\"]},
        "BinaryField": b"\x00\\\xff",
    }.get(field.get_internal_type(), now if isinstance(field, InstantField) else 1)
