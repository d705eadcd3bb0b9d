"""A database from before R18: keys and webhooks whose person may no longer have them are suspended, others go on."""

import dataclasses
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from accounts.access import Actor
from accounts.models import ApiKey, Member, User
from consent import ledger
from consent.models import WebhookEndpoint
from consent.services import credentials, webhooks
from tests.support.cast import Cast
from tests.support.keys import issue_key

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = [("accounts", "0012_known_devices"), ("consent", "0011_longer_event_values")]
SCOPES = ["decisions:read"]


@pytest.fixture(autouse=True)
def addresses_are_not_looked_up(settings: Any) -> None:
    settings.DEBUG = True


@dataclasses.dataclass
class Owned:
    """A key and a webhook of the organization that one person answers for."""

    key: ApiKey
    hook: WebhookEndpoint

    @property
    def standing(self) -> tuple[bool, bool, str, str]:
        key, hook = ApiKey.objects.get(pk=self.key.pk), WebhookEndpoint.objects.get(pk=self.hook.pk)
        return key.suspended_at is not None, key.revoked_at is not None, hook.status, hook.paused_because


def owned(cast: Cast, person: User) -> Owned:
    key = issue_key("Sync", SCOPES, organization=cast.labs, issued_by=person)[0]
    actor = Actor.from_user(person, confirmed=True)
    hook = webhooks.create_endpoint(organization=cast.labs, url="https://h.example/", actor=actor, source="console")
    return Owned(key, hook)


def back_and_forth(while_old: Any) -> None:
    try:
        executor = MigrationExecutor(connection)
        executor.migrate(BEFORE)
        while_old(MigrationExecutor(connection).loader.project_state(BEFORE).apps)
    finally:
        call_command("migrate", verbosity=0)


WORKS = (False, False, "active", "")
SUSPENDED = (True, False, "paused", "suspended")


@pytest.mark.parametrize("lost", ["left", "demoted", "deactivated", "no operator any more"])
def test_migrate__person_may_no_longer__key_and_webhook_are_suspended(cast: Cast, lost: str) -> None:
    kept = owned(cast, cast.owner)
    gone = owned(cast, cast.operator if lost.startswith("no operator") else cast.admin)
    own = issue_key("Mine", SCOPES, issued_by=cast.operator)[0]
    machine = issue_key("Machine", SCOPES)[0]

    def lose(apps: Any) -> None:
        """Written as it could be then: nothing was suspended by it."""
        member = apps.get_model("accounts", "Member").objects.filter(user_id=cast.admin.pk)
        user = apps.get_model("accounts", "User").objects
        match lost:
            case "left":
                member.update(status="left", left_at=ledger.clock())
            case "demoted":
                member.update(role="auditor")
            case "deactivated":
                user.filter(pk=cast.admin.pk).update(is_active=False)
            case _:
                user.filter(pk=cast.operator.pk).update(is_staff=False)

    back_and_forth(lose)
    assert (kept.standing, gone.standing) == (WORKS, SUSPENDED)
    assert (ApiKey.objects.get(pk=own.pk).suspended_at is not None) == lost.startswith("no operator")
    found = ApiKey.objects.get(pk=machine.pk)
    assert (found.installation, found.suspended_at) == (True, None)


def test_migrate__back_and_forth__what_was_suspended_never_works_again_by_itself(cast: Cast) -> None:
    """Not even where the person has come back: the older schema has no word for it, so keys end, webhooks wait."""
    gone = owned(cast, cast.admin)
    Member.objects.filter(user=cast.admin).update(role="auditor")
    credentials.suspend_for(cast.admin, cast.labs, actor=cast.provider)
    Member.objects.filter(user=cast.admin).update(role="admin")
    assert gone.standing == SUSPENDED
    back_and_forth(lambda _apps: None)
    suspended, revoked, status, because = gone.standing
    assert revoked, "a key ends"
    assert (status, because) == ("paused", "somebody"), "a webhook goes on only when somebody says so"
    assert not suspended
