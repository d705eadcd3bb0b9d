"""Verifies that the bindings of external ids agree with the ledger: part of `verification`."""

from collections.abc import Mapping
from typing import Any

from django.db.models import BigIntegerField, CharField, Exists, F, OuterRef, QuerySet
from django.db.models.functions import Cast

from accounts.models import Binding, Member, Organization

from .models import ConsentEvent, EventKind

# Events that may start a binding: the creation of its subject, the giving of the id; or an update of the subject, from
# before ids were dated.
_GIVING = (
    EventKind.ORGANIZATION_CREATED,
    EventKind.ORGANIZATION_UPDATED,
    EventKind.MEMBER_JOINED,
    EventKind.MEMBER_UPDATED,
    EventKind.EXTERNAL_ID_GIVEN,
    EventKind.EXTERNAL_ID_REBOUND,
)


def offenders() -> Mapping[str, QuerySet[Any]]:
    """Text with a `{}` for the id → the rows at fault."""
    live = Binding.objects.live()
    # Two ids that got the same spelling when ids were first dated are contested: they mean nobody, without an event.
    bindings = Binding.objects.exclude(contested=True)
    shown_by_organization = live.filter(organization=OuterRef("pk"), member=None, value=OuterRef("external_id"))
    shown_by_member = live.filter(member=OuterRef("pk"), value=OuterRef("external_id"))
    return {
        "organization {}: shows an external id that does not mean it": Organization.objects.exclude(
            external_id=None
        ).exclude(Exists(shown_by_organization)),
        "member {}: shows an external id that does not mean them": Member.objects.exclude(external_id=None).exclude(
            Exists(shown_by_member)
        ),
        **_without_event(bindings.filter(member=None), member__isnull=True),
        **_without_event(bindings.exclude(member=None), member=OuterRef("member")),
        **_without_binding(),
    }


def _without_event(bindings: "QuerySet[Binding]", **whose: Any) -> Mapping[str, QuerySet[Any]]:
    """Bindings of organizations, or of members, that have no matching event."""
    of = "organization" if "member__isnull" in whose else "member"
    events = ConsentEvent.objects.filter(organization=OuterRef("organization"), **whose)
    given = events.filter(product="", recorded_at=OuterRef("recorded_at"), kind__in=_GIVING)
    withdrawn = events.filter(
        product="",
        recorded_at=OuterRef("withdrawn_at"),
        kind=EventKind.EXTERNAL_ID_WITHDRAWN,
        before=Cast(OuterRef("pk"), CharField()),
    )
    attested = events.filter(kind=EventKind.SINCE_ATTESTED, since=OuterRef("since"))
    return {
        f"external id {{}} of an {of}: no event gave it": bindings.exclude(Exists(given)),
        f"external id {{}} of an {of}: no event withdrew it": bindings.exclude(withdrawn_at=None).exclude(
            Exists(withdrawn)
        ),
        f"external id {{}} of an {of}: nobody attested its start": bindings.filter(since__lt=F("recorded_at")).exclude(
            Exists(attested)
        ),
    }


def _without_binding() -> Mapping[str, QuerySet[Any]]:
    """Events that name a binding which doesn't exist, or differs from what they say."""
    events = ConsentEvent.objects.order_by()
    given = events.filter(kind__in=(EventKind.EXTERNAL_ID_GIVEN, EventKind.EXTERNAL_ID_REBOUND))
    withdrawn = events.filter(kind=EventKind.EXTERNAL_ID_WITHDRAWN)
    after = Binding.objects.filter(
        pk=Cast(OuterRef("after"), BigIntegerField()),
        organization=OuterRef("organization"),
        recorded_at__lte=OuterRef("recorded_at"),
    )
    before = Binding.objects.filter(
        pk=Cast(OuterRef("before"), BigIntegerField()),
        organization=OuterRef("organization"),
        withdrawn_at=OuterRef("recorded_at"),
    )
    return {
        "event {}: the external id it gives is not there": given.exclude(Exists(after)),
        "event {}: the external id it withdraws is not withdrawn so": withdrawn.exclude(Exists(before)),
    }
