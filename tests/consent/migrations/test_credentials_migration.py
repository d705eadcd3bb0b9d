"""The migration that ties keys to a person's rights: each key is checked, and owners are told (R18)."""

import datetime as dt
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from accounts import authentication, key_secrets
from accounts.access import Actor
from accounts.models import ApiKey, OutgoingMessage, User
from consent import verification
from consent.models import ConsentEvent, WebhookEndpoint
from consent.services import members
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = [("accounts", "0012_known_devices"), ("consent", "0011_longer_event_values")]
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
READS, MOBILE = ["decisions:read", "consent:write"], ["consent:member"]


class Before:
    """Keys and webhooks as the version before made them, by the name of the case."""

    def __init__(self, cast: Cast) -> None:
        self.cast, self.texts = cast, dict[str, str]()
        gone, demoted, inactive = (
            UserFactory(email=f"{name}@kvasir.example", name=name) for name in ("gone", "demoted", "off")
        )
        joined = [
            MemberFactory(organization=cast.labs, user=each, role="admin", actor=cast.provider)
            for each in (gone, demoted, inactive)
        ]
        members.remove_member(member=joined[0], actor=cast.provider, source="admin")
        members.update_member(member=joined[1], role="member", actor=cast.provider, source="admin")
        User.objects.filter(pk=inactive.pk).update(is_active=False)
        former = UserFactory(email="former@provider.example", name="former")
        ownerless = UserFactory(email="alone@brage.example", name="alone")
        labs, brage = cast.labs.pk, cast.brage.pk
        # Who answers for it, of which organization, and whether they still may.
        self.cases: dict[str, tuple[Any, Any, bool]] = {
            "owner": (cast.owner.pk, labs, True),
            "admin": (cast.admin.pk, labs, True),
            "operator": (cast.operator.pk, None, True),
            "operator for a customer": (cast.operator.pk, labs, True),
            "gone": (gone.pk, labs, False),
            "demoted": (demoted.pk, labs, False),
            "deactivated": (inactive.pk, labs, False),
            "auditor": (cast.auditor.pk, labs, False),
            "of another organization": (cast.owner.pk, brage, False),
            "never there": (ownerless.pk, brage, False),
            "former operator": (former.pk, None, False),
            "former operator for a customer": (former.pk, labs, False),
        }
        self.former = former.pk

    def make(self, apps: Any) -> None:
        for name, (person, organization, _may) in self.cases.items():
            self.key(apps, name, person, organization)
            self.hook(apps, name, person, organization)
        self.key(apps, "of the machine", None, None)
        self.key(apps, "of the machine for a customer", None, self.cast.labs.pk)
        self.key(apps, "of the app's backend", self.former, None, MOBILE)
        self.key(apps, "revoked", self.former, None, revoked_at=NOW)
        self.hook(apps, "of nobody", None, None)

    def key(self, apps: Any, name: str, person: Any, organization: Any, scopes: list[str] = READS, **more: Any) -> None:
        new = key_secrets.new_key()
        self.texts[name] = new.text
        apps.get_model("accounts", "ApiKey").objects.create(
            name=name, prefix=new.prefix, hash=new.hash, scopes=scopes, issued_by_id=person,
            organization_id=organization, **more,
        )  # fmt: skip

    def hook(self, apps: Any, name: str, person: Any, organization: Any) -> None:
        apps.get_model("consent", "WebhookEndpoint").objects.create(
            url=f"https://example.com/{name}", created_by_id=person, organization_id=organization, position=7, fence=3,
            leased_until=NOW, created_at=NOW,
        )  # fmt: skip


def migrate(cast: Cast) -> Before:
    before = Before(cast)
    try:
        MigrationExecutor(connection).migrate(BEFORE)
        OutgoingMessage.objects.all().delete()
        before.make(MigrationExecutor(connection).loader.project_state(BEFORE).apps)
    finally:
        call_command("migrate", verbosity=0)
    return before


def works(text: str) -> bool:
    try:
        return isinstance(authentication.recognise(text), Actor)
    except authentication.InvalidKey:
        return False


def test_migrate__keys_of_before__those_whose_person_may_no_longer_are_suspended(cast: Cast) -> None:
    before = migrate(cast)
    lost = {name for name, (*_whose, may) in before.cases.items() if not may}
    assert set(ApiKey.objects.exclude(suspended_at=None).values_list("name", flat=True)) == lost
    assert set(ApiKey.objects.filter(installation=True).values_list("name", flat=True)) == {
        "of the machine", "of the machine for a customer", "of the app's backend",
    }  # fmt: skip
    assert {name for name, text in before.texts.items() if not works(text)} == {*lost, "revoked"}
    assert ApiKey.objects.get(name="revoked").revoked_at == NOW


def test_migrate__webhooks_of_before__those_whose_person_may_no_longer_stop_where_they_are(cast: Cast) -> None:
    before = migrate(cast)
    found = {
        each.url.rpartition("/")[2]: (each.status, each.paused_because, each.fence, each.leased_until)
        for each in WebhookEndpoint.objects.filter(position=7)
    }
    assert found == {
        name: ("active", "", 3, NOW) if may else ("paused", "suspended", 4, None)
        for name, may in [("of nobody", True), *((name, may) for name, (*_whose, may) in before.cases.items())]
    }


def test_migrate__suspended__owners_are_told_of_theirs_and_operators_of_the_rest(cast: Cast) -> None:
    before = migrate(cast)
    told = {(each.recipient, each.body) for each in OutgoingMessage.objects.all()}
    owners = {cast.labs.pk: cast.owner.email, cast.brage.pk: cast.outsider.email, None: cast.operator.email}
    assert {to for to, _body in told} == set(owners.values()) and len(told) == 3
    for name, (_person, organization, may) in before.cases.items():
        for line in (f"API key “{name}” (", f"Webhook to https://example.com/{name}\n"):
            assert {to for to, body in told if line in body} == (set() if may else {owners[organization]})
    # By no event: the version before could not hold it.
    assert not ConsentEvent.objects.filter(kind__endswith="_suspended").exists()
    assert verification.verify().problems == []


def test_migrate__back__what_was_worth_nothing_does_not_work_again(cast: Cast) -> None:
    before = migrate(cast)
    lost = {name for name, (*_whose, may) in before.cases.items() if not may}
    try:
        MigrationExecutor(connection).migrate(BEFORE)
        old = MigrationExecutor(connection).loader.project_state(BEFORE).apps
        ended = old.get_model("accounts", "ApiKey").objects.exclude(revoked_at=None)
        assert set(ended.values_list("name", flat=True)) == {*lost, "revoked"}
        hooks = old.get_model("consent", "WebhookEndpoint").objects.filter(status="paused", paused_because="somebody")
        assert {url.rpartition("/")[2] for url in hooks.values_list("url", flat=True)} == lost
    finally:
        call_command("migrate", verbosity=0)
    assert {name for name, text in before.texts.items() if not works(text)} == {*lost, "revoked"}
