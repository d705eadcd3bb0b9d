import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.utils import timezone

from accounts.access import Actor
from accounts.models import Member, Organization, OutgoingMessage, Plan, Subscription, User
from consent import verification
from consent.decisions import decide
from consent.demo import scenario
from consent.lookups import Question
from consent.models import INSTALLATION_KINDS, OF_NO_LAYER, ConsentEvent, Consumer, EventKind, TrainingRun
from consent.presentation import privacy_settings
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.commands import database, run
from tests.support.factories import ActorFactory, OrganizationFactory, OutgoingMessageFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def _reason(organization: str, product: str, email: str | None = None) -> tuple[bool, str]:
    member = str(Member.objects.get(organization__external_id=organization, user__email=email).pk) if email else None
    decision = decide(Question(f"external:{organization}", product, member), Actor.system()).decision
    return decision.allowed, decision.reason.value


def test_demo__empty_installation__tells_a_whole_history() -> None:
    result = run("demo")
    assert result.code == 0
    report = verification.verify()
    assert (report.problems, report.pending) == ([], 0)
    assert set(Subscription.objects.values_list("plan_id", flat=True)) == set(
        Plan.objects.values_list("key", flat=True)
    )
    assert set(Organization.objects.values_list("kind", flat=True)) == {"personal", "team"}
    assert set(Member.objects.values_list("role", flat=True)) == set(Member.Role.values)
    placed = ConsentEvent.objects.order_by("placed__position").values_list("recorded_at", flat=True)
    assert list(placed) == sorted(placed)
    assert (placed[len(placed) - 1] - placed[0]).days > 700
    unused = {EventKind.ORGANIZATION_UPDATED, EventKind.ORGANIZATION_KIND_CHANGED, EventKind.ORGANIZATION_REOPENED}
    unused |= {
        EventKind.MEMBER_UPDATED,
        EventKind.EXTERNAL_ID_GIVEN,
        EventKind.EXTERNAL_ID_WITHDRAWN,
        EventKind.EXTERNAL_ID_REBOUND,
        EventKind.MEMBER_ROLE_CHANGED,
        EventKind.CHOICE_CONFIRMED,
        EventKind.LOCK_LIFTED,
        EventKind.CHOICE_RESTORED,
        EventKind.SINCE_ATTESTED,
        EventKind.SINCE_RESTARTED,
    }
    kinds = set(ConsentEvent.objects.without_access().values_list("kind", flat=True))
    assert kinds - INSTALLATION_KINDS == set(EventKind.values) - unused - OF_NO_LAYER


@pytest.mark.usefixtures("demo")
def test_demo__its_organizations__show_every_reason() -> None:
    assert _reason("kvasir", "le_chat", "ada@kvasir.example") == (True, "plan_default")
    assert _reason("kvasir", "le_chat", "elif@kvasir.example") == (False, "member_opted_out")
    assert _reason("kvasir", "le_chat", "jonas@kvasir.example") == (False, "member_left")
    assert _reason("kvasir", "ai_studio") == (False, "organization_opted_out")
    assert _reason("meridian", "le_chat", "nadia@meridian.example") == (True, "organization_opted_in")
    assert _reason("meridian", "ai_studio") == (False, "plan_default")
    assert _reason("orchard", "le_chat", "sean@orchard.example") == (False, "locked")
    assert _reason("tessera", "le_chat", "vito@tessera.example") == (False, "carried_over")
    assert _reason("juniper", "le_chat", "olive@juniper.example") == (False, "plan_default")
    assert _reason("bluefin", "le_chat", "rui@bluefin.example") == (False, "no_subscription")
    assert _reason("pinehill", "le_chat", "noah@pinehill.example") == (False, "organization_closed")
    assert _reason("quokka", "ai_studio") == (True, "plan_default")
    assert _reason("okafor", "le_chat") == (True, "plan_default")
    assert _reason("zielinski", "le_chat") == (False, "organization_opted_out")
    kvasir = Organization.objects.get(external_id="kvasir")
    assert privacy_settings.organization_setting(kvasir, LE_CHAT_CONSOLE, Actor.system()).members_opted_out == 5


@pytest.mark.usefixtures("demo")
def test_demo__its_training_run__has_one_removal_done_and_one_open() -> None:
    training = TrainingRun.objects.get()
    now = timezone.now()
    assert [batch.state(now) for batch in training.batches.order_by("number")] == ["acknowledged", "open"]
    assert Consumer.objects.live().count() == 2


def test_demo__without_a_key_for_manifests__has_no_run(settings: Any) -> None:
    settings.MANIFEST_SIGNING_KEY = ""
    assert run("demo").code == 0
    assert not TrainingRun.objects.exists()


def test_demo__its_people__sign_in_with_the_password_shown(demo: Any) -> None:
    assert set(demo["people"]) == set(scenario.PEOPLE)
    for address in scenario.PEOPLE:
        assert authenticate(None, email=address, password=demo["password"]) is not None
    operator = User.objects.get(email="operator@demo.example")
    assert (operator.is_staff, operator.is_superuser) == (True, False)
    assert all(address.endswith(".example") for address in User.objects.values_list("email", flat=True))


def test_demo__table__names_people_and_password_and_mail_that_waits_is_left() -> None:
    waiting = OutgoingMessageFactory(recipient="early@provider.example")
    result = run("demo")
    assert result.code == 0
    # Its own people get none.
    assert list(OutgoingMessage.objects.all()) == [waiting]
    lines = result.out.splitlines()
    assert lines[0].startswith("Sign in as one of these")
    assert re.fullmatch(r"operator@demo\.example +operator, for all organizations", lines[2])
    assert re.fullmatch(r"password +[\w-]{16}", lines[-1])


def test_demo__new_password__another_one_and_nothing_else_changed(demo: Any) -> None:
    first = demo["password"]
    before = database()
    second = run("demo", "--new-password", "--format", "json").json
    assert second["password"] != first
    assert authenticate(None, email="operator@demo.example", password=second["password"]) is not None
    assert authenticate(None, email="operator@demo.example", password=first) is None
    after = database()
    assert {table for table in after if after[table] != before[table]} == {"accounts_user"}


@pytest.mark.usefixtures("demo")
def test_demo__new_password_of_somebody_inactive__left_out() -> None:
    User.objects.filter(email="bo@kvasir.example").update(is_active=False)
    people = run("demo", "--new-password", "--format", "json").json["people"]
    assert set(people) == set(scenario.PEOPLE) - {"bo@kvasir.example"}


def _organization() -> None:
    OrganizationFactory.with_ids("a", actor=ActorFactory(of_commands=True))


def _demo_address_taken() -> None:
    UserFactory(email="operator@demo.example")


@pytest.mark.parametrize(
    ("prepare", "argv", "message"),
    [
        (_organization, [], "There are organizations here"),
        (_demo_address_taken, [], "There is a user operator@demo.example here already"),
        (lambda: ActorFactory(of_commands=True), ["--new-password"], "There is no demo here"),
    ],
)
def test_demo__installation_in_use__exits_1_and_nothing_changed(
    prepare: Callable[[], object], argv: list[str], message: str
) -> None:
    prepare()
    before = database()
    result = run("demo", *argv)
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert database() == before


@pytest.mark.usefixtures("demo")
def test_demo__told_twice__refused_and_unchanged() -> None:
    before = database()
    assert run("demo").code == 1
    assert database() == before
