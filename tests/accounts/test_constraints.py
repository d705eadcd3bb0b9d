"""Database constraints: nobody can store a violation, by the ORM, raw SQL or a fixture (R2 and others)."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.db.models.functions import Upper

from accounts.models import ApiKey, Member, Organization, Plan, Subscription, User
from consent import ledger
from consent.models import Lock, PrivacySetting
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.factories import UserFactory
from tests.support.ledger_guards import changes_nothing, everything

OPTED_OUT_PLANS = ("le_chat_teams", "le_chat_enterprise", "ai_studio_scale")
NEW_PLAN = {"key": "le_chat_new", "product": "le_chat", "name": "New", "training_default": "opted_in", "position": 9}
LATER = dt.datetime(2031, 1, 1, tzinfo=dt.UTC)


def sql(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def refused(call: Callable[[], object], constraint: str) -> None:
    """By this constraint (SQLite names a unique one by its columns), and every row is as it was."""
    before = [everything(), list(Plan.objects.values_list()), ApiKey.objects.count()]
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        call()
    message = str(caught.value)
    assert constraint in message or (connection.vendor == "sqlite" and "UNIQUE constraint failed" in message)
    assert [everything(), list(Plan.objects.values_list()), ApiKey.objects.count()] == before


# --- R2 ----------------------------------------------------------------------------------------------------------


def load(tmp_path: Path, key: str) -> None:
    fields = {"product": "le_chat", "name": "Fixture", "training_default": "opted_in", "position": 1}
    fixture = tmp_path / "plans.json"
    fixture.write_text(json.dumps([{"model": "accounts.plan", "pk": key, "fields": fields}]), encoding="utf-8")
    call_command("loaddata", str(fixture), verbosity=0)


def save(key: str) -> None:
    plan = Plan.objects.get(pk=key)
    plan.training_default = "opted_in"
    plan.save()


WAYS: dict[str, Callable[[str, Path], object]] = {
    "save": lambda key, _: save(key),
    "update": lambda key, _: Plan.objects.filter(pk=key).update(training_default="opted_in"),
    "update of all": lambda key, _: Plan.objects.update(training_default="opted_in"),
    "bulk_update": lambda key, _: Plan.objects.bulk_update(
        [Plan(pk=key, training_default="opted_in")], ["training_default"]
    ),
    "raw SQL": lambda key, _: sql("UPDATE accounts_plan SET training_default = 'opted_in' WHERE key = %s", key),
    "fixture": lambda key, path: load(path, key),
    "update_or_create": lambda key, _: Plan.objects.update_or_create(pk=key, defaults={"training_default": "opted_in"}),
    "bulk_create that updates": lambda key, _: Plan.objects.bulk_create(
        [Plan(**{**NEW_PLAN, "key": key})],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["training_default"],
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("key", OPTED_OUT_PLANS)
def test_plan__opted_in_by_default_where_it_never_may_be__refused(db: None, tmp_path: Path, key: str, way: str) -> None:
    refused(lambda: WAYS[way](key, tmp_path), "plan_opted_in_only_where_allowed")


NEW_WAYS: dict[str, Callable[[Path], object]] = {
    "save": lambda _: Plan(**NEW_PLAN).save(),
    "create": lambda _: Plan.objects.create(**NEW_PLAN),
    "bulk_create": lambda _: Plan.objects.bulk_create([Plan(**NEW_PLAN)]),
    "fixture": lambda path: load(path, "le_chat_new"),
    "raw SQL": lambda _: sql(
        "INSERT INTO accounts_plan (key, product, name, training_default, position) VALUES (%s, %s, %s, %s, %s)",
        *NEW_PLAN.values(),
    ),
    "another case": lambda _: Plan.objects.create(**{**NEW_PLAN, "key": "LE_CHAT_FREE"}),
}


@pytest.mark.parametrize("way", NEW_WAYS)
def test_new_plan__opted_in_by_default_without_being_named__refused(db: None, tmp_path: Path, way: str) -> None:
    refused(lambda: NEW_WAYS[way](tmp_path), "plan_opted_in_only_where_allowed")


def test_new_plan__opted_out_by_default__stored(db: None) -> None:
    Plan.objects.create(**{**NEW_PLAN, "training_default": "opted_out"})
    assert Plan.objects.filter(pk="le_chat_new").exists()


def test_plan__validated_by_a_form__says_why(db: None) -> None:
    with pytest.raises(ValidationError, match="opted out by default, always"):
        Plan(**NEW_PLAN).full_clean()


def test_plans__seven__as_the_article_says(db: None) -> None:
    assert dict(Plan.objects.values_list("key", "training_default")) == {
        "le_chat_free": "opted_in",
        "le_chat_pro": "opted_in",
        "le_chat_student": "opted_in",
        "ai_studio_experiment": "opted_in",
        **dict.fromkeys(OPTED_OUT_PLANS, "opted_out"),
    }


@pytest.mark.parametrize("plan", [*OPTED_OUT_PLANS, "le_chat_new"])
def test_setting__opted_in_default_of_a_plan_that_is_out__refused(cast: Cast, plan: str) -> None:
    refused(lambda: sql("UPDATE consent_privacysetting SET plan = %s, applied_default = 'opted_in'", plan), "setting_")


# --- A setting can't contradict itself (R1) ------------------------------------------------------------------------

TRUE, FALSE = ("1", "0") if connection.vendor == "sqlite" else ("TRUE", "FALSE")
IMPOSSIBLE = {
    "not subscribed": f"subscribed = {FALSE}",
    "locked": f"locked = {TRUE}",
    "closed": f"closed = {TRUE}",
    "opted out": "choice = 'opted_out'",
    "carried over": "carry = 'le_chat_teams'",
    "default out": "applied_default = 'opted_out'",
    "no default": "applied_default = ''",
    "opted in, not subscribed": f"choice = 'opted_in', subscribed = {FALSE}",
    "opted in, locked": f"choice = 'opted_in', locked = {TRUE}",
    "opted in, closed": f"choice = 'opted_in', closed = {TRUE}",
    "opted in, carried over": "choice = 'opted_in', carry = 'le_chat_teams'",
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_setting__allowed_though_a_part_of_it_denies__refused(cast: Cast, what: str) -> None:
    pk = PrivacySetting.objects.get(organization=cast.labs, product="le_chat").pk
    statement = f"UPDATE consent_privacysetting SET allowed = {TRUE}, {IMPOSSIBLE[what]} WHERE id = %s"
    refused(lambda: sql(statement, pk), "setting_allowed_only_by_its_parts")


def test_setting__of_a_member_who_opted_out__cannot_be_allowed(cast: Cast) -> None:
    refused(
        lambda: PrivacySetting.objects.create(
            organization=cast.labs, member=cast.labs_member, product="le_chat", choice="opted_out", allowed=True
        ),
        "setting_allowed_only_by_its_parts",
    )


# --- One of each, and known values only ------------------------------------------------------------------------------


def again(row: models.Model, **changes: Any) -> Callable[[], object]:
    """The same row a second time, under another id."""
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    values.pop(row._meta.pk.attname)
    return lambda: type(row)._base_manager.create(**(values | changes))


def labs_lock(cast: Cast) -> Lock:
    return Lock.objects.create(
        organization=cast.labs, product="le_chat", reason="r", reference="x", placed_at=ledger.clock()
    )


CASES: dict[str, tuple[Callable[[Cast], Callable[[], object]], str]] = {
    "two live subscriptions": (
        lambda cast: again(Subscription.objects.get(plan="le_chat_pro"), plan_id="le_chat_free"),
        "subscription_one_live_per_product",
    ),
    "two live locks": (lambda cast: again(labs_lock(cast), reference="y"), "lock_one_live_per_product"),
    "two settings of an organization": (
        lambda cast: again(PrivacySetting.objects.get(organization=cast.labs, product="le_chat")),
        "setting_one_per_organization",
    ),
    "two settings of a member": (
        lambda cast: again(
            PrivacySetting.objects.create(organization=cast.labs, member=cast.labs_member, product="le_chat")
        ),
        "setting_one_per_member",
    ),
    "two members of one person": (lambda cast: again(cast.labs_member), "member_once_per_organization"),
    "two users of one address": (lambda cast: again(cast.owner), "user_email_unique"),
    "user's address in capitals": (
        lambda cast: lambda: User.objects.filter(pk=cast.owner.pk).update(email=Upper("email")),
        "user_email_lower_case",
    ),
    "two organizations of one external id": (
        lambda cast: again(Organization.objects.create(name="A", external_id="a", created_at=LATER, changed_at=LATER)),
        "organization_external_id_unique",
    ),
    "empty external id": (
        lambda cast: lambda: Organization.objects.update(external_id=""),
        "organization_external_id_not_empty",
    ),
    "no name": (lambda cast: lambda: Organization.objects.update(name=""), "organization_name_not_empty"),
    "personal, and others were members": (
        lambda cast: lambda: Organization.objects.filter(pk=cast.labs.pk).update(kind="personal"),
        "organization_personal_has_one_person",
    ),
    "unknown kind": (lambda cast: lambda: Organization.objects.update(kind="club"), "organization_kind_known"),
    "unknown status": (lambda cast: lambda: Organization.objects.update(status="?"), "organization_status_known"),
    "unknown role": (lambda cast: lambda: Member.objects.update(role="king"), "member_role_known"),
    "left without an instant": (
        lambda cast: lambda: Member.objects.update(status="left"),
        "member_left_has_instant",
    ),
    "inside with an instant of leaving": (
        lambda cast: lambda: Member.objects.update(left_at=LATER),
        "member_left_has_instant",
    ),
    "unknown member status": (
        lambda cast: lambda: Member.objects.update(status="away"),
        "member_left_has_instant",
    ),
    "empty external id of a member": (
        lambda cast: lambda: Member.objects.update(external_id=""),
        "member_external_id_not_empty",
    ),
    "unknown product of a subscription": (
        lambda cast: lambda: Subscription.objects.update(product="x"),
        "subscription_product_known",
    ),
    "unknown product of a setting": (
        lambda cast: lambda: PrivacySetting.objects.filter(product="ai_studio").update(product="x"),
        "setting_product_known",
    ),
    "unknown choice": (
        lambda cast: lambda: PrivacySetting.objects.filter(allowed=False).update(choice="?"),
        "setting_choice_known",
    ),
    "unknown default": (
        lambda cast: lambda: Plan.objects.filter(pk="le_chat_teams").update(training_default="?"),
        "plan_default_known",
    ),
    "lock without a reason": (
        lambda cast: again(Lock(organization=cast.labs, product="le_chat", reference="x", placed_at=LATER)),
        "lock_says_why",
    ),
    "key without a name": (
        lambda cast: lambda: ApiKey.objects.create(prefix="p", hash="h", installation=True),
        "api_key_name_not_empty",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_row__against_a_constraint__refused(cast: Cast, what: str) -> None:
    make, constraint = CASES[what]
    refused(make(cast), constraint)


def test_ended_subscriptions_and_lifted_locks__may_be_many(cast: Cast) -> None:
    for _ in range(2):
        again(Subscription.objects.filter(plan="le_chat_pro").latest("pk"), ended_at=LATER)()
        lock = labs_lock(cast)
        Lock.objects.filter(pk=lock.pk).update(lifted_at=LATER)
    assert Lock.objects.count() == 2


def test_users__addresses_in_any_case__one_account_that_signs_in(cast: Cast) -> None:
    assert User.objects.get_by_natural_key(" ADA@Kvasir.Example ") == cast.owner
    made = UserFactory(email=" New@Example.ORG ", password="a password of some length")
    assert made.email == "new@example.org"


def test_constraint__refused_inside_a_service__nothing_else_of_it_is_kept(cast: Cast) -> None:
    def write_and_break() -> None:
        with transaction.atomic():
            casting.subscribe(cast.labs, "le_chat_teams", cast.provider)
            Plan.objects.filter(pk="le_chat_teams").update(training_default="opted_in")

    with changes_nothing(), pytest.raises(IntegrityError):
        write_and_break()


@pytest.mark.only_on("sqlite", "it looks for what refers to a new row where that was written before it")
@pytest.mark.parametrize("parent", [Organization, Member, User])
def test_foreign_keys__to_what_is_made_by_the_thousand__indexed_whole(db: None, parent: type[models.Model]) -> None:
    """One with a condition is none: an import read all bindings for each organization."""
    scanned = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            for column, (_other, to) in connection.introspection.get_relations(cursor, table).items():
                if to == parent._meta.db_table:
                    cursor.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE {column} = 'x'")
                    scanned += [f"{table}.{column}" for *_numbers, step in cursor.fetchall() if "SCAN" in step]
    assert scanned == []
