"""The ledger hears which personal organizations became teams because others had been members (accounts 0009)."""

import datetime as dt

from django.db import migrations
from django.db.models import OuterRef, Subquery

REASON = "Others were members here, so this organization is a team and no personal account."
_KINDS = ("organization.created", "organization.kind_changed")


def tell_ledger(apps, schema_editor):
    Organization = apps.get_model("accounts", "Organization")
    Event = apps.get_model("consent", "ConsentEvent")
    Pending = apps.get_model("consent", "PendingEvent")
    kinds = Event.objects.filter(organization_id=OuterRef("pk"), member=None, product="", kind__in=_KINDS)
    told = Subquery(kinds.order_by("-recorded_at").values("after")[:1])
    teams = Organization.objects.filter(kind="team", had_others=True).annotate(told=told).filter(told="personal")
    for organization in list(teams):
        own = Event.objects.filter(organization_id=organization.pk, member=None, product="")
        last = own.order_by("-recorded_at").values_list("recorded_at", flat=True).first()
        at = max(dt.datetime.now(dt.UTC), last + dt.timedelta(microseconds=1))
        event = Event.objects.create(
            kind="organization.kind_changed",
            recorded_at=at,
            organization_id=organization.pk,
            before="personal",
            after="team",
            actor_type="system",
            by_operator=True,
            source="command",
            reason=REASON,
            reason_code="",
        )
        Organization.objects.filter(pk=organization.pk).update(changed_at=at)
        # The trigger notes it too; where a table was rebuilt by an earlier migration, there is none until the end.
        Pending.objects.get_or_create(event_id=event.pk)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_had_others"),
        ("consent", "0005_followers"),
    ]

    operations = [migrations.RunPython(tell_ledger, migrations.RunPython.noop)]
