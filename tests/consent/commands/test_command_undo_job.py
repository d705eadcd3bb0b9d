import pytest

from accounts.models import User
from consent import verification
from consent.models import BulkJob, ConsentEvent
from consent.services import choices
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.commands import ACTOR, choices_of, database, run
from tests.support.factories import ActorFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db
SECOND = ("--actor", "frigg@provider.example")


@pytest.fixture
def done() -> BulkJob:
    """a, b, c of Le Chat Enterprise, opted out by a job: undoing that loosens nothing, for they are out by default."""
    UserFactory(email=SECOND[1], operator=True)
    OrganizationFactory.with_ids("a", "b", "c", plan="le_chat_enterprise", actor=ActorFactory(of_commands=True))
    out = ("--surface", "le_chat_console", "--choice", "opted_out", "--all")
    assert run("set_consent", *out, *ACTOR, "--yes").code == 0
    return BulkJob.objects.get()


@pytest.fixture
def done_on_free() -> BulkJob:
    UserFactory(email=SECOND[1], operator=True)
    OrganizationFactory.with_ids("a", "b", "c", plan="le_chat_free", actor=ActorFactory(of_commands=True))
    out = ("--surface", "le_chat_console", "--choice", "opted_out", "--all")
    assert run("set_consent", *out, *ACTOR, "--yes").code == 0
    return BulkJob.objects.get()


def test_undo_job__nothing_loosens__done_at_once(done: BulkJob) -> None:
    result = run("undo_job", str(done.pk), *ACTOR, "--yes", "--reason", "Wrong list", "--format", "json")
    assert result.code == 0, result.err
    assert (result.json["status"], result.json["changed"], result.json["undoes"]) == ("done", 3, str(done.pk))
    assert set(choices_of("le_chat").values()) == {"default"}
    events = ConsentEvent.objects.filter(kind="choice.restored")
    assert set(events.values_list("reason", "source")) == {("Wrong list", "command")}
    assert verification.verify().problems == []


def test_undo_job__loosens__waits_for_a_second_operator(done_on_free: BulkJob) -> None:
    refused = run("undo_job", str(done_on_free.pk), *ACTOR, "--yes")
    assert (refused.code, BulkJob.objects.count()) == (1, 1) and "reason" in refused.err
    options = ("--yes", "--reason", "Wrong list", "--format", "json")
    result = run("undo_job", str(done_on_free.pk), *ACTOR, *options)
    assert (result.code, result.json["status"]) == (0, "awaiting_approval")
    assert set(choices_of("le_chat").values()) == {"opted_out"}
    assert run("job", "approve", result.json["job"], *SECOND).code == 0
    assert run("job", "run", result.json["job"]).code == 0
    assert set(choices_of("le_chat").values()) == {"default"}
    assert verification.verify().problems == []


def test_undo_job__somebody_confirmed_since__left_as_it_is(done: BulkJob) -> None:
    organization = done.rows.order_by("number")[0].organization
    person = User.objects.get(email=SECOND[1])
    from accounts.access import Actor

    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=organization, choice="opted_in",
        actor=Actor.from_user(person, confirmed=True), version_required=False,
        source="admin", reason="they asked",
    )  # fmt: skip
    result = run("undo_job", str(done.pk), *ACTOR, "--yes", "--format", "json")
    assert (result.json["changed"], result.json["refused_because"]) == (2, {"changed_since": 1})
    assert sorted(choices_of("le_chat").values()) == ["default", "default", "opted_in"]


def test_undo_job__dry_run__counts_and_changes_nothing(done: BulkJob) -> None:
    before = choices_of("le_chat")
    result = run("undo_job", str(done.pk), *ACTOR, "--dry-run")
    assert result.code == 0
    assert result.out.startswith("would change  3\n")
    assert choices_of("le_chat") == before


def test_undo_job__no_yes_and_no_terminal__exits_2_and_changes_nothing(done: BulkJob) -> None:
    events = ConsentEvent.objects.count()
    result = run("undo_job", str(done.pk), *ACTOR)
    assert (result.code, result.out) == (2, "")
    assert f"Undo job {done.pk} for 3 of the 3 organizations that it changed? Say so with --yes." in result.err
    assert ConsentEvent.objects.count() == events


@pytest.mark.parametrize(
    ("ident", "message"), [("7", "There is no job “7”"), (None, ("not ended, or it changed nothing"))]
)
def test_undo_job__unknown_or_not_over__exits_1_and_nothing_changed(
    done: BulkJob, ident: str | None, message: str
) -> None:
    run("set_consent", "--surface", "le_chat_console", "--choice", "opted_out", "--all", *ACTOR, "--dry-run")
    before = database()
    result = run("undo_job", ident or str(BulkJob.objects.latest("pk").pk), *ACTOR, "--yes")
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert database() == before
