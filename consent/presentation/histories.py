"""An organization's events in words, with the plan and the effect of each, as histories and statements show them."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from django.utils.translation import gettext as _

from accounts.access import Actor
from accounts.catalogue import TrainingDefault
from accounts.models import Binding, Member, Organization, Plan

from ..models import OF_NO_LAYER, Choice, ConsentEvent, EventKind
from . import actors, targets
from .effects import Effects
from .honoured import Way, ways_of
from .wordings import Seen, seen


@dataclasses.dataclass(frozen=True)
class Row:
    """`number` is the event's id, by which History, pages, e-mails and the ledger name it."""

    number: int
    at: dt.datetime
    subject: str
    before: str
    after: str
    reason: str
    reference: str
    who: str
    where: str
    plan: str = ""
    effect: str = ""
    # How far the change has come, for those that tighten.
    way: Way | None = None
    # The words that the person saw as they chose.
    seen: Seen | None = None


def rows_of(events: Sequence[ConsentEvent], viewer: Actor, *, ways: bool = False) -> list[Row]:
    """The events as rows, with today's names of people and things; a fixed number of queries.

    `ways`: also how far each has come that tightens, which costs a look-up for each event and consumer.
    """
    who = actors.labels(events, viewer)
    about = Member.objects.filter(pk__in={event.member_id for event in events}).select_related("user")
    members = {member.pk: str(member.user) for member in about}
    plans = dict(Plan.objects.values_list("key", "name"))
    names = targets.labels(events, viewer)
    external_ids = _external_ids(events)
    effects = Effects(events)
    found = ways_of(events, effects) if ways else {}

    def row(event: ConsentEvent) -> Row:
        if event.kind in OF_NO_LAYER:
            return _access_row(event, who[event.pk], names)
        reference = event.reference if viewer.is_operator else ""
        made = _row(event, who[event.pk], reference, members, plans | external_ids)
        plan = plans.get(event.plan, "") if event.product and event.subscribed else ""
        return dataclasses.replace(
            made, plan=plan, effect=effects.words(event), way=found.get(event.pk), seen=seen(event)
        )

    return [row(event) for event in events]


def changes(events: Sequence[ConsentEvent], names: targets.Names) -> dict[int, tuple[str, str]]:
    """Event id → what was before and what after, in words, for operators' lists of many organizations' events."""
    texts = dict(Plan.objects.values_list("key", "name")) | _external_ids(events)

    def words(event: ConsentEvent, value: str) -> str:
        if not value or event.kind in OF_NO_LAYER:
            return names.words(value)
        return _words(event.kind, texts)(value)

    return {event.pk: (words(event, event.before), words(event, event.after)) for event in events}


Names = dict[Any, str]


def _external_ids(events: Sequence[ConsentEvent]) -> dict[str, str]:
    """Binding id → the external id's text, or "erased", for the external ids that these events refer to."""
    told = [event for event in events if event.kind.startswith("external_id.")]
    keys = {int(key) for event in told for key in (event.before, event.after) if key}
    found = Binding.objects.filter(pk__in=keys).values_list("pk", "value") if keys else ()
    return {str(pk): value or _("erased") for pk, value in found}


def _row(event: ConsentEvent, who: str, reference: str, members: Names, texts: dict[str, str]) -> Row:
    """`texts` maps keys of plans and ids of bindings to what is shown for them."""
    word = _words(event.kind, texts)
    before, after = (word(value) if value else "" for value in (event.before, event.after))
    return Row(
        number=event.pk,
        at=event.recorded_at,
        subject=_subject(event, members),
        # With only `before` set, as when a subscription ends, it is shown as the value.
        before=before if after else "",
        after=after or before,
        reason=event.reason,
        reference=reference,
        who=who,
        where=event.get_source_display(),
    )


def _access_row(event: ConsentEvent, who: str, names: targets.Names) -> Row:
    before, after = names.words(event.before), names.words(event.after)
    target = names.target(event)
    return Row(
        number=event.pk,
        at=event.recorded_at,
        subject=f"{event.get_kind_display()}, {target}" if target else str(event.get_kind_display()),
        before=before if after else "",
        after=after or before,
        reason=event.reason,
        reference="",
        who=who,
        where=event.get_source_display(),
    )


def _subject(event: ConsentEvent, members: Names) -> str:
    product = event.get_product_display()
    kind = EventKind(event.kind)
    if kind in (EventKind.CHOICE_OPTED_IN, EventKind.CHOICE_OPTED_OUT, EventKind.LOCK_PLACED, EventKind.LOCK_LIFTED):
        return product
    if product and kind == EventKind.CHOICE_CONFIRMED:
        return f"{product}, {kind.label}"
    if event.member_id is not None:
        member = members.get(event.member_id, _("somebody"))
        return f"{kind.label}, {member}"
    return str(kind.label)


def _words(kind: str, texts: dict[str, str]) -> Callable[[str], str]:
    """A function that translates `before` and `after` of this kind of event; it takes comma-separated values."""
    vocabularies: dict[str, dict[str, Any]] = {
        "choice": dict(Choice.choices),
        "plan": {**texts, **dict(TrainingDefault.choices)},
        "subscription": {**texts},
        "external_id": {**texts},
        "lock": {"locked": _("locked"), "unlocked": _("not locked")},
        "member": dict(Member.Role.choices),
        "organization": {
            **dict(Organization.Kind.choices),
            **dict(Organization.Status.choices),
            **{field.name: field.verbose_name for field in Organization._meta.fields},
        },
    }
    known = vocabularies[kind.partition(".")[0]]

    def word(value: str) -> str:
        return ", ".join(str(known.get(part, part)) for part in value.split(", "))

    return word
