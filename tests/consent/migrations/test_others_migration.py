"""The migration that adds `had_others`, computed from all memberships: violators become teams, and are told."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from accounts.models import Organization
from consent import ledger, triggers, verification
from consent.models import ConsentEvent
from consent.services import members, organizations
from consent.services.organizations import OrganizationDraft
from tests.support.cast import Cast
from tests.support.factories import MemberFactory

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = [("accounts", "0008_name_order"), ("consent", "0005_followers")]


def migrate_back_and_forth(while_old: Any) -> None:
    try:
        executor = MigrationExecutor(connection)
        executor.migrate(BEFORE)
        triggers.install(connection)  # as `manage.py migrate` does, whichever way it goes
        while_old(MigrationExecutor(connection).loader.project_state(BEFORE).apps)
    finally:
        call_command("migrate", verbosity=0)


def test_migrate__personal_organization_that_had_others__team_by_an_event(cast: Cast) -> None:
    mine = organizations.create_organization(
        draft=OrganizationDraft(name="Frida", kind="personal", owner=("frida@mail.example", "Frida")),
        actor=cast.provider,
        source="admin",
    )
    joined = MemberFactory(organization=cast.brage, user=cast.member, actor=cast.provider)
    members.remove_member(member=joined, actor=cast.provider, source="admin")
    last = ConsentEvent.objects.latest("pk")

    def as_it_was_possible(apps: Any) -> None:
        """Its owner made it personal once the other had left."""
        old = apps.get_model("accounts", "Organization")
        old.objects.filter(pk=cast.brage.pk).update(kind="personal")
        event = apps.get_model("consent", "ConsentEvent").objects.get(pk=last.pk)
        event.pk, event.kind, event.member_id = None, "organization.kind_changed", None
        event.before, event.after = "team", "personal"
        event.recorded_at = ledger.clock(last.recorded_at)
        event.save(force_insert=True)

    migrate_back_and_forth(as_it_was_possible)
    found = {each.pk: (each.kind, each.had_others) for each in Organization.objects.all()}
    assert found == {
        mine.pk: ("personal", False),
        cast.labs.pk: ("team", True),
        cast.brage.pk: ("team", True),
    }
    told = ConsentEvent.objects.filter(pk__gt=last.pk + 1).get()
    assert (told.organization_id, told.kind, told.before, told.after) == (
        cast.brage.pk, "organization.kind_changed", "personal", "team",
    )  # fmt: skip
    assert (told.actor_type, told.by_operator, told.member_id, bool(told.reason)) == ("system", True, None, True)
    assert Organization.objects.get(pk=cast.brage.pk).changed_at == told.recorded_at
    assert ledger.sequence() > 0 and verification.verify().problems == []
