"""The migration that dates external ids: each starts when that is certain, and in doubt means nobody (R16)."""

import datetime as dt
import itertools
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from accounts.models import Binding, Member, Organization, OutgoingMessage
from consent import decisions, ledger, verification
from consent.errors import Refused
from consent.lookups import Question
from consent.models import ConsentEvent
from consent.services import members, organizations, plans
from consent.services.organizations import OrganizationDraft
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = [("accounts", "0014_unsent_messages"), ("consent", "0014_requests_without_keys")]


def make(cast: Cast, external_id: str | None = None) -> Organization:
    draft = OrganizationDraft(
        name="Acme", external_id=external_id, subscriptions=[plans.get_plan("ai_studio_experiment")]
    )
    return organizations.create_organization(draft=draft, actor=cast.provider, source="api")


def migrate_back_and_forth(while_old: Any) -> None:
    try:
        MigrationExecutor(connection).migrate(BEFORE)
        while_old(MigrationExecutor(connection).loader.project_state(BEFORE).apps)
    finally:
        call_command("migrate", verbosity=0)


def event(apps: Any, subject: Any, kind: str, after: str = "", *, since: Any = None, product: str = "") -> dt.datetime:
    """Written as the version before did."""
    at = ledger.clock(subject.changed_at)
    member = subject.pk if isinstance(subject, Member) else None
    apps.get_model("consent", "ConsentEvent").objects.create(
        kind=kind, organization_id=subject.organization_id if member else subject.pk, member_id=member, after=after,
        recorded_at=at, since=since, product=product, actor_type="system", source="command", reason_code="",
    )  # fmt: skip
    return at


def start_of(subject: Organization | Member) -> tuple[dt.datetime, dt.datetime]:
    found = subject.bindings.get()
    assert (found.value, found.withdrawn_at, found.number) == (subject.external_id, None, 1)
    return found.recorded_at, found.since


def test_migrate__ids__begin_at_creation_at_the_attested_start_or_at_the_last_change(cast: Cast) -> None:
    plain, changed, renamed, attested, odd = (make(cast, name) for name in ("a-1", "b-1", "c-1", "d-1", "é-1"))
    joined, moved, again = list(Member.objects.filter(organization=cast.labs).order_by("pk")[:3])
    since = plain.created_at - dt.timedelta(days=90)
    at: dict[str, dt.datetime] = {}

    def old(apps: Any) -> None:
        at["changed"] = event(apps, changed, "organization.updated", "country, external_id")
        event(apps, renamed, "organization.updated", "name")
        event(apps, attested, "since.attested", since=since, product="ai_studio")
        for n, member in enumerate((joined, moved, again)):
            apps.get_model("accounts", "Member").objects.filter(pk=member.pk).update(external_id=f"m-{n}")
        at["moved"] = event(apps, moved, "member.updated")
        event(apps, again, "member.left")
        again.changed_at = ledger.clock(again.changed_at) + dt.timedelta(milliseconds=1)
        at["again"] = event(apps, again, "member.joined", "admin")

    migrate_back_and_forth(old)
    for organization in (plain, changed, renamed, attested, odd):
        organization.refresh_from_db()
    for member in (joined, moved, again):
        member.refresh_from_db()
    assert start_of(plain) == (plain.created_at, plain.created_at)
    assert start_of(odd) == (odd.created_at, odd.created_at)
    assert start_of(renamed) == (renamed.created_at, renamed.created_at)
    assert start_of(changed) == (at["changed"], at["changed"])
    assert start_of(attested) == (attested.created_at, since)
    assert start_of(joined) == (joined.joined_at, joined.joined_at)
    assert start_of(moved) == (at["moved"], at["moved"])
    assert start_of(again) == (at["again"], at["again"])


# Spellings of an id that are one id since.
SPELLINGS = [
    ("cafe-1", " cafe-1"),
    ("caf\u00e9-2", "cafe\u0301-2"),
    ("kv-300", "kv-300\u200b"),
    ('"kv-400"', "kv-400 "),
    ("kv-500\u00ad", "kv-500"),
]


def test_migrate__ids_that_become_one__mean_nobody_now_and_then_until_a_rebind(cast: Cast) -> None:
    pairs = [(make(cast), make(cast)) for _ in SPELLINGS]
    for n in range(2 * len(SPELLINGS)):
        members.add_member(organization=cast.labs, email=f"{n}@kvasir.example", actor=cast.provider, source="api")
    people = list(Member.objects.filter(organization=cast.labs).order_by("pk"))
    at = ledger.clock()

    def old(apps: Any) -> None:
        for spellings, organizations_, *members_ in zip(SPELLINGS, pairs, people[::2], people[1::2], strict=False):
            for model, subjects in (("Organization", organizations_), ("Member", members_)):
                for subject, text in zip(subjects, spellings, strict=True):
                    apps.get_model("accounts", model).objects.filter(pk=subject.pk).update(external_id=text)

    migrate_back_and_forth(old)
    assert not Organization.objects.exclude(external_id=None).exists()
    assert not Member.objects.exclude(external_id=None).exists()
    assert not Binding.objects.live().exists()
    assert Binding.objects.filter(contested=True).count() == 4 * len(SPELLINGS)
    for (acme, _other), spellings in zip(pairs, SPELLINGS, strict=True):
        for spelling, asked_at in itertools.product(spellings, (None, at)):
            question = Question(f"external:{spelling}", "ai_studio", at=asked_at)
            assert decisions.decide(question, cast.provider).decision.reason == "unknown_organization"
            question = Question(str(cast.labs.pk), "le_chat", f"external:{spelling}", at=asked_at)
            assert decisions.decide(question, cast.provider).decision.reason == "unknown_member"
        value = spellings[0].replace("\u200b", "").replace("\u00ad", "")
        with pytest.raises(Refused):
            organizations.update_organization(organization=acme, external_id=value, actor=cast.provider, source="api")
    assert verification.verify().problems == []


def test_migrate__back__every_spelling_is_as_it_was(cast: Cast) -> None:
    made = {make(cast).pk: text for text in ("caf\u00e9-1", "cafe\u0301-1", " acct 2 ", "plain", "\u200b")}
    found: dict[Any, Any] = {}

    def old(apps: Any) -> None:
        for pk, text in made.items():
            apps.get_model("accounts", "Organization").objects.filter(pk=pk).update(external_id=text)

    def again(apps: Any) -> None:
        rows = apps.get_model("accounts", "Organization").objects.exclude(external_id=None)
        found.update(rows.values_list("pk", "external_id"))

    migrate_back_and_forth(old)
    assert set(Organization.objects.exclude(external_id=None).values_list("external_id", flat=True)) == {
        "acct 2", "plain",
    }  # fmt: skip
    migrate_back_and_forth(again)
    assert found == made


def test_migrate__back_with_changes_since__refused(cast: Cast) -> None:
    acme = make(cast, "acct-1")
    organizations.update_organization(organization=acme, external_id=None, actor=cast.provider, source="api")
    events = ConsentEvent.objects.count()
    with pytest.raises(Exception, match="can't hold"):
        MigrationExecutor(connection).migrate(BEFORE)
    call_command("migrate", verbosity=0)
    assert ConsentEvent.objects.count() == events
    members.add_member(
        organization=cast.labs, email="n@kvasir.example", external_id="n", actor=cast.provider, source="api"
    )
    assert verification.verify().problems == []


def test_migrate__ids_that_become_one__operators_are_told_which(cast: Cast) -> None:
    acme, other, plain = make(cast), make(cast), make(cast)
    one, two = list(Member.objects.filter(organization=cast.labs).order_by("pk")[:2])

    def old(apps: Any) -> None:
        OutgoingMessage.objects.all().delete()
        for subject, text in ((acme, "acct-1 "), (other, "acct-1"), (plain, "acct-2")):
            apps.get_model("accounts", "Organization").objects.filter(pk=subject.pk).update(external_id=text)
        for member, text in ((one, "ada\u200b"), (two, "ada")):
            apps.get_model("accounts", "Member").objects.filter(pk=member.pk).update(external_id=text)

    migrate_back_and_forth(old)
    message = OutgoingMessage.objects.get()
    assert message.recipient == cast.operator.email
    assert {line for line in message.body.splitlines() if line.startswith("-")} == {
        f"- “acct-1 ” of organization {acme.pk}",
        f"- “acct-1” of organization {other.pk}",
        f"- “ada\\u200b” of organization {cast.labs.pk}, its member {one.pk}",
        f"- “ada” of organization {cast.labs.pk}, its member {two.pk}",
    }
