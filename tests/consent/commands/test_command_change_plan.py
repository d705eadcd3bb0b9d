import pytest

from accounts.access import Actor
from accounts.models import Organization, Subscription
from consent.models import ConsentEvent
from consent.services import choices, organizations
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.commands import ACTOR, Run, database, run
from tests.support.factories import ActorFactory, OrganizationFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


def _choose(organization: Organization, choice: str, operator: Actor) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=organization,
        choice=choice,
        actor=operator,
        source="admin",
        reason="x",
        version_required=False,
    )


def change(*argv: str) -> Run:
    return run("change_plan", "external:a", *argv, *ACTOR)


def test_change_plan__first_subscription__before_and_after_shown(operator: Actor) -> None:
    OrganizationFactory.with_ids("a", actor=operator)
    result = change("--plan", "le_chat_free", "--reason", "Ordered by post")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[:2] == ["organization  a Ltd", "product       le_chat"]
    assert [line.split() for line in lines if line.startswith(("plan", "allowed", "reason"))] == [
        ["plan", "–", "→", "le_chat_free"],
        ["allowed", "no", "→", "yes"],
        ["reason", "no_subscription", "→", "plan_default"],
    ]
    event = ConsentEvent.objects.latest("id")
    assert (event.kind, event.source, event.actor_type, event.reason) == (
        "subscription.started", "command", "command", "Ordered by post",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "choice", "target", "kept", "allowed", "note"),
    [
        ("le_chat_pro", "opted_in", "le_chat_teams", "default", False, "The opt-in was dropped"),
        ("le_chat_teams", None, "le_chat_pro", "default", False, "carried over from le_chat_teams"),
        ("le_chat_pro", "opted_out", "le_chat_free", "opted_out", False, "The choice, opted_out, is kept."),
        ("le_chat_enterprise", "opted_in", "le_chat_teams", "opted_in", True, "The choice, opted_in, is kept."),
        ("le_chat_free", None, "le_chat_pro", "default", True, "the plan's default applies"),
    ],
)
def test_change_plan__moved__says_what_became_of_the_choice(
    operator: Actor, plan: str, choice: str | None, target: str, kept: str, allowed: bool, note: str
) -> None:
    [organization] = OrganizationFactory.with_ids("a", plan=plan, actor=operator)
    if choice:
        _choose(organization, choice, operator)
    result = change("--plan", target, "--format", "json")
    assert result.code == 0
    after = result.json["after"]
    assert (after["plan"], after["choice"], after["allowed"]) == (target, kept, allowed)
    assert (result.json["before"]["plan"], result.json["changed"]) == (plan, True)
    assert note in result.json["note"]


def test_change_plan__end__subscription_ended_and_choice_kept(operator: Actor) -> None:
    [organization] = OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    _choose(organization, "opted_out", operator)
    result = change("--end", "le_chat", "--format", "json")
    assert result.code == 0
    assert (result.json["before"]["plan"], result.json["after"]["plan"]) == ("le_chat_free", "")
    assert result.json["after"]["reason"] == "no_subscription"
    assert not Subscription.objects.filter(ended_at=None).exists()


@pytest.mark.parametrize("argv", [["--plan", "le_chat_free"], ["--end", "ai_studio"]])
def test_change_plan__so_already__nothing_written(operator: Actor, argv: list[str]) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    events, subscriptions = ConsentEvent.objects.count(), Subscription.objects.count()
    result = change(*argv, "--format", "json")
    assert (result.code, result.json["changed"]) == (0, False)
    assert "nothing was written" in result.json["note"]
    assert (ConsentEvent.objects.count(), Subscription.objects.count()) == (events, subscriptions)


def test_change_plan__closed_account__exits_1_and_nothing_changed(operator: Actor) -> None:
    [organization] = OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    organizations.close_organization(organization=organization, actor=operator, source="admin", reason="x")
    before = database()
    result = change("--plan", "le_chat_pro")
    assert (result.code, result.out) == (1, "")
    assert result.err == "Failed: The account is closed; reopen it first. Nothing was changed.\n"
    assert database() == before


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["external:a"], 2, "one of the arguments --plan --end is required"),
        (["external:a", "--plan", "le_chat_pro", "--end", "le_chat"], 2, "not allowed with"),
        (["external:a", "--plan", "le_chat_gold"], 2, "There is no plan “le_chat_gold”. The plans: "),
        (["external:a", "--end", "le_chat_free"], 2, "invalid choice: 'le_chat_free'"),
        (["external:b", "--plan", "le_chat_pro"], 1, "There is no organization “external:b”."),
        (["a", "--plan", "le_chat_pro"], 1, "There is no organization “a”."),
        (
            ["external:a", "--plan", "le_chat_pro", "--reason", "x" * 501],
            1,
            "reason: This has 501 characters; at most 500 are allowed.",
        ),
    ],
)
def test_change_plan__bad_input__named_and_nothing_changed(
    operator: Actor, argv: list[str], code: int, message: str
) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    before = database()
    result = run("change_plan", *argv, *ACTOR)
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert database() == before


def test_change_plan__actor_no_operator__exits_2_and_nothing_changed(operator: Actor) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    before = database()
    result = run("change_plan", "external:a", "--plan", "le_chat_pro", "--actor", "ada@kvasir.example")
    assert (result.code, result.out) == (2, "")
    assert "no active operator “ada@kvasir.example”" in result.err
    assert database() == before


@pytest.mark.parametrize(
    ("plan", "choice", "target"),
    [
        ("le_chat_pro", "opted_in", ["--plan", "le_chat_teams"]),
        ("le_chat_teams", None, ["--plan", "le_chat_pro"]),
        ("le_chat_pro", "opted_out", ["--plan", "le_chat_free"]),
        ("le_chat_free", None, ["--end", "le_chat"]),
        ("le_chat_free", None, ["--plan", "le_chat_free"]),
    ],
)
def test_change_plan__dry_run__says_what_the_change_then_says_and_changes_nothing(
    operator: Actor, plan: str, choice: str | None, target: list[str]
) -> None:
    [organization] = OrganizationFactory.with_ids("a", plan=plan, actor=operator)
    if choice:
        _choose(organization, choice, operator)
    before = database()
    tried = change(*target, "--dry-run", "--format", "json")
    assert (tried.code, tried.json["dry_run"], database()) == (0, True, before)
    assert "nothing was changed" in change(*target, "--dry-run").out
    made = change(*target, "--format", "json").json
    made["after"]["since"] = tried.json["after"]["since"]  # of its own moment
    assert tried.json | {"dry_run": False} == made
