"""The migration to R18: keys and webhooks whose person has lost the right are suspended, others keep working."""

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
from tests.support.factories import MemberFactory, UserFactory

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


def test_migrate__persons_may_no_longer__keys_and_webhooks_are_suspended(cast: Cast) -> None:
    """Four ways to lose it in one go: each way back and forth takes five seconds."""
    lost = {
        how: UserFactory(email=f"{how}@kvasir.example", name=how.title()) for how in ("left", "demoted", "deactivated")
    }
    for person in lost.values():
        MemberFactory(organization=cast.labs, user=person, role="admin", actor=cast.provider)
    kept = owned(cast, cast.owner)
    gone = {how: owned(cast, person) for how, person in lost.items()}
    gone["no operator any more"] = owned(cast, cast.operator)
    second = UserFactory(email="frigg@provider.example", name="Frigg", operator=True)
    own, seconds = (issue_key("Mine", SCOPES, issued_by=person)[0] for person in (cast.operator, second))
    machine = issue_key("Machine", SCOPES)[0]

    def lose(apps: Any) -> None:
        """Written as it could be then: nothing was suspended by it."""
        member, user = apps.get_model("accounts", "Member").objects, apps.get_model("accounts", "User").objects
        member.filter(user_id=lost["left"].pk).update(status="left", left_at=ledger.clock())
        member.filter(user_id=lost["demoted"].pk).update(role="auditor")
        user.filter(pk=lost["deactivated"].pk).update(is_active=False)
        user.filter(pk=cast.operator.pk).update(is_staff=False)

    back_and_forth(lose)
    assert kept.standing == WORKS
    assert {how: each.standing for how, each in gone.items()} == dict.fromkeys(gone, SUSPENDED)
    assert [ApiKey.objects.get(pk=key.pk).suspended_at is None for key in (own, seconds)] == [False, True]
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
