"""The organization's events in words, newest first, without members' own choices (R4)."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import Actor, Permission
from accounts.catalogue import TrainingDefault
from accounts.models import Binding, Member, Organization, Plan

from ..models import ACCESS_KINDS, Choice, ConsentEvent, EventKind
from ..presentation import actors, targets
from .forms import HistoryFilter
from .pages import organization_page, page
from .paging import Page, page_of


def events_of(actor: Actor, organization: Organization) -> Any:
    return ConsentEvent.objects.visible_to(actor).without_member_choices().filter(organization=organization)


@require_safe
@organization_page(Permission.HISTORY_VIEW)
def history(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    form = HistoryFilter(request.GET, label_suffix="")
    valid = form.is_valid()
    filters = form.conditions() if valid else {}
    found = Page(rows=[], has_previous=False, first_url="", next_url="")
    if valid:
        found = page_of(request, events_of(actor, organization).filter(**filters), form.cleaned_data["after"])
        found = dataclasses.replace(found, rows=rows_of(found.rows, actor))
    context = {
        "form": form,
        "page": found,
        "filtered": bool(filters) or not valid or found.has_previous,
        "query": form_query(request),
    }
    status = 200 if valid else 400
    return page(request, actor, "console/history.html", context, organization=organization, status=status)


def form_query(request: HttpRequest) -> str:
    """The page's filters as a query string, for the URLs of the exports."""
    query = request.GET.copy()
    query.pop("after", None)
    return query.urlencode()


@dataclasses.dataclass(frozen=True)
class Row:
    at: dt.datetime
    subject: str
    before: str
    after: str
    reason: str
    reference: str
    who: str
    where: str


def rows_of(events: Sequence[ConsentEvent], viewer: Actor) -> list[Row]:
    """The events as rows, with today's names of people and things; a fixed number of queries."""
    who = actors.labels(events, viewer)
    about = Member.objects.filter(pk__in={event.member_id for event in events}).select_related("user")
    members = {member.pk: str(member.user) for member in about}
    plans = dict(Plan.objects.values_list("key", "name"))
    names = targets.labels(events, viewer)
    external_ids = _external_ids(events)
    return [
        _access_row(event, who[event.pk], names)
        if event.kind in ACCESS_KINDS
        else _row(event, who[event.pk], event.reference if viewer.is_operator else "", members, plans | external_ids)
        for event in events
    ]


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
        return f"{kind.label}, {members.get(event.member_id, _('somebody'))}"
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
