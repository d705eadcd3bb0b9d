import pytest

from accounts.models import Plan
from consent import verification
from consent.models import PrivacySetting
from consent.services import plans
from tests.support.commands import ACTOR, choices_of, database, run
from tests.support.factories import ActorFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db
SECOND = ("--actor", "frigg@provider.example")
OUT = ("le_chat_free", "opted_out", "--reason", "Decision 12")


def allowed() -> dict[str, bool]:
    found = PrivacySetting.objects.of_organizations().filter(product="le_chat")
    return dict(found.values_list("organization__external_id", "allowed"))


def default() -> str:
    return Plan.objects.get(pk="le_chat_free").training_default


def test_set_plan_default__out_and_back__in_reaches_only_later_subscriptions() -> None:
    actor = ActorFactory(of_commands=True)
    UserFactory(email=SECOND[1], operator=True)
    OrganizationFactory.with_ids("a", "b", plan="le_chat_free", actor=actor)
    assert allowed() == {"a": True, "b": True}
    result = run("set_plan_default", *OUT, *ACTOR, "--yes", "--format", "json")
    assert result.code == 0, result.err
    assert (result.json["status"], result.json["changed"], default()) == ("done", 2, "opted_out")
    assert allowed() == {"a": False, "b": False}

    back = run("set_plan_default", "le_chat_free", "opted_in", "--reason", "Back", *ACTOR, "--yes", "--format", "json")
    assert (back.code, back.json["status"], default()) == (0, "awaiting_approval", "opted_out")
    assert run("job", "approve", back.json["job"], *SECOND).code == 0
    assert run("job", "run", back.json["job"]).code == 0
    OrganizationFactory.with_ids("c", plan="le_chat_free", actor=actor)
    assert (default(), allowed()) == ("opted_in", {"a": False, "b": False, "c": True})
    assert set(choices_of("le_chat").values()) == {"default"}
    assert verification.verify().problems == []


def test_set_plan_default__nobody_subscribed__the_plan_changes_all_the_same() -> None:
    ActorFactory(of_commands=True)
    result = run("set_plan_default", *OUT, *ACTOR, "--yes", "--format", "json")
    assert (result.code, result.json["matched"], default()) == (0, 0, "opted_out")


def test_set_plan_default__dry_run_or_not_confirmed__nothing_changed() -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=ActorFactory(of_commands=True))
    assert run("set_plan_default", *OUT, *ACTOR, "--dry-run").out.startswith("would change  1\n")
    result = run("set_plan_default", *OUT, *ACTOR)
    assert (result.code, result.out) == (2, "")
    assert "by default, with 1 subscription now? Say so with --yes." in result.err
    assert (default(), allowed()) == ("opted_in", {"a": True})


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["le_chat_gold", "opted_out", "--reason", "x"], 2, "There is no plan “le_chat_gold”"),
        (["le_chat_free", "default", "--reason", "x"], 2, "invalid choice: 'default'"),
        (["le_chat_free", "opted_out"], 2, "--reason"),
        (["le_chat_free", "opted_out", "--reason", " "], 1, "reason: "),
        (["le_chat_teams", "opted_in", "--reason", "x"], 1, "always"),
    ],
)
def test_set_plan_default__what_may_not_be__named_and_nothing_changed(argv: list[str], code: int, message: str) -> None:
    ActorFactory(of_commands=True)
    before = database()
    result = run("set_plan_default", *argv, *ACTOR, "--yes")
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert database() == before
    assert plans.get_plan("le_chat_teams").training_default == "opted_out"
