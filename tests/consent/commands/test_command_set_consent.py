import io
import re
from pathlib import Path
from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Organization
from consent import verification
from consent.jobs import engine, selection
from consent.models import BulkJob, ConsentEvent, PrivacySetting
from consent.services import choices, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.commands import ACTOR, Run, Terminal, choices_of, run
from tests.support.commands import database as all_tables
from tests.support.factories import ActorFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db
OUT = ("--surface", "le_chat_console", "--choice", "opted_out")
IN = ("--surface", "le_chat_console", "--choice", "opted_in")


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


@pytest.fixture
def five(operator: Actor) -> list[Organization]:
    """a, b, c on Le Chat Free, d on Pro, e on nothing."""
    return [
        *OrganizationFactory.with_ids("a", "b", "c", plan="le_chat_free", actor=operator),
        *OrganizationFactory.with_ids("d", plan="le_chat_pro", actor=operator),
        *OrganizationFactory.with_ids("e", actor=operator),
    ]


def database() -> dict[str, list[tuple[Any, ...]]]:
    """Every row that says something; a preview that is kept, or a job that found nothing to change, does not."""
    return {table: rows for table, rows in all_tables().items() if not table.startswith("consent_bulkjob")}


def told(result: Run) -> list[str]:
    """The lines of the result up to the job."""
    return [" ".join(line.split()) for line in result.out.partition("job ")[0].splitlines()]


def set_consent(*argv: str) -> Run:
    return run("set_consent", *argv, *ACTOR)


def test_set_consent__plan__opts_its_subscribers_out(five: list[Organization], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FIRST", 2)
    result = set_consent(*OUT, "--plan", "le_chat_free", "--yes", "--reason", "Contract 4711")
    assert (result.code, told(result)) == (0, ["changed 3", "unchanged 0"])
    assert re.search(r"3 of 3 rows, [\d,]+ a second\n", result.err)
    assert choices_of("le_chat") == {"a": "opted_out", "b": "opted_out", "c": "opted_out", "d": "default"}
    events = ConsentEvent.objects.filter(kind="choice.opted_out")
    assert set(events.values_list("source", "actor_type", "reason", "by_operator")) == {
        ("command", "command", "Contract 4711", True)
    }
    assert verification.verify().problems == []


def test_set_consent__plan_left_meanwhile__not_opted_out(five: list[Organization], operator: Actor) -> None:
    plans.subscribe(organization=five[0], plan=plans.get_plan("le_chat_pro"), actor=operator, source="admin")
    assert set_consent(*OUT, "--plan", "le_chat_free", "--yes").code == 0
    assert choices_of("le_chat") == {"a": "default", "b": "opted_out", "c": "opted_out", "d": "default"}


def test_set_consent__all__every_organization_closed_and_unsubscribed_too(
    five: list[Organization], operator: Actor
) -> None:
    organizations.close_organization(organization=five[1], actor=operator, source="admin", reason="Cancelled.")
    result = set_consent(*OUT, "--all", "--yes", "--format", "json")
    assert result.code == 0
    found = result.json
    assert (found["job"], found["dry_run"], found["status"]) == (found["id"], False, "done")
    assert (found["matched"], found["processed"], found["changed"], found["unchanged"]) == (5, 5, 5, 0)
    assert choices_of("le_chat") == dict.fromkeys("abcde", "opted_out")


def test_set_consent__again__unchanged_and_nothing_written(five: list[Organization]) -> None:
    set_consent(*OUT, "--all", "--yes")
    before = database()
    again = set_consent(*OUT, "--all", "--yes")
    assert (again.code, told(again)) == (0, ["changed 0", "unchanged 5"])
    assert database() == before


def test_set_consent__organizations_by_both_ids__each_once(five: list[Organization]) -> None:
    result = set_consent(*OUT, "--organization", str(five[0].pk), "external:a", "external:e", "--yes")
    assert (result.code, told(result)) == (0, ["changed 2", "unchanged 0"])
    assert choices_of("le_chat") == {"a": "opted_out", "b": "default", "c": "default", "d": "default", "e": "opted_out"}


@pytest.mark.parametrize(
    "text",
    [
        "organization;note\r\nexternal:a;x\r\nexternal:b;y\r\n",
        "note,external_id\nx,a\ny,b\n",
        "account\nexternal:a\nexternal:b\n",
    ],
)
def test_set_consent__file__its_organizations_opted_out(five: list[Organization], tmp_path: Path, text: str) -> None:
    path = tmp_path / "ids.csv"
    path.write_text(text)
    result = set_consent(*OUT, "--from-file", str(path), "--yes")
    assert (result.code, told(result)) == (0, ["changed 2", "unchanged 0"])
    assert choices_of("le_chat") == {"a": "opted_out", "b": "opted_out", "c": "default", "d": "default"}


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("external_id\na\nnobody\nb\nnowhere\n", 1, "There is no organization “external:nobody”."),
        ("external_id\na\nnobody\nb\nnowhere\n", 1, "There is no organization “external:nowhere”."),
        ("external_id\na\nnobody\nb\nnowhere\n", 1, "2 unknown organizations, so nothing was changed."),
        ("external_id,note\na,1\n,2\n", 1, "row 3, column external_id: is empty"),
        ("external_id,note\na,1\nb\n", 1, "row 3, column external_id: has 1 values"),
        ("id,name\na,A\n", 2, "neither a column organization nor external_id"),
        ("", 1, "empty"),
    ],
)
def test_set_consent__bad_file__named_and_nothing_changed(
    five: list[Organization], tmp_path: Path, text: str, code: int, message: str
) -> None:
    path = tmp_path / "ids.csv"
    path.write_text(text)
    before = database()
    result = set_consent(*OUT, "--from-file", str(path), "--yes")
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert database() == before


def test_set_consent__empty_list__nothing_to_do(five: list[Organization], tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("external_id\n")
    assert told(set_consent(*OUT, "--from-file", str(path))) == ["changed 0", "unchanged 0"]


def test_set_consent__unknown_organization__exits_1_and_nothing_changed(five: list[Organization]) -> None:
    before = database()
    result = set_consent(*OUT, "--organization", "external:a", "external:\x1b[2J", "--yes")
    assert (result.code, result.out) == (1, "")
    assert "There is no organization “external:\\u001b[2J”." in result.err
    assert database() == before


@pytest.mark.parametrize("more", [(), ("--yes",)])
def test_set_consent__dry_run__counts_and_changes_nothing(five: list[Organization], more: tuple[str, ...]) -> None:
    set_consent(*OUT, "--organization", "external:a", "--yes")
    before = database()
    result = set_consent(*OUT, "--plan", "le_chat_free", "--dry-run", *more)
    assert (result.code, told(result)) == (0, ["would change 2", "would stay 1"])
    assert database() == before


def test_set_consent__no_yes_and_no_terminal__exits_2_with_the_count(
    five: list[Organization], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    before = database()
    result = set_consent(*OUT, "--plan", "le_chat_free")
    assert (result.code, result.out) == (2, "")
    assert "Opt 3 organizations out on le_chat_console, of which 3 not yet out? Say so with --yes." in result.err
    assert database() == before


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yess\n"])
def test_set_consent__asked_and_not_confirmed__exits_2(
    five: list[Organization], monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    before = database()
    result = set_consent(*OUT, "--all")
    assert (result.code, result.out) == (2, "")
    assert "Opt 5 organizations out on le_chat_console, of which 5 not yet out? [y/N]" in result.err
    assert database() == before


def test_set_consent__asked_and_confirmed__done(five: list[Organization], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("Y\n"))
    assert set_consent(*OUT, "--all").code == 0
    assert set(choices_of("le_chat").values()) == {"opted_out"}


def test_set_consent__opt_in_of_one_with_reason__done(operator: Actor) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_enterprise", actor=operator)
    argv = (*IN, "--organization", "external:a", "--reason", "Agreement of May", "--yes")
    result = set_consent(*argv)
    assert (result.code, result.out) == (0, "changed    1\nunchanged  0\n")
    setting = PrivacySetting.objects.get()
    assert (setting.allowed, setting.choice, setting.choice_event.reason) == (True, "opted_in", "Agreement of May")
    before = database()
    assert set_consent(*argv).out == "changed    0\nunchanged  1\n"
    assert database() == before


@pytest.mark.parametrize(
    "argv",
    [
        ["--organization", "external:a"],
        ["--organization", "external:a", "--reason", "  "],
        ["--plan", "le_chat_free"],
        ["--all"],
    ],
)
def test_set_consent__opt_in_without_reason__exits_2_and_nothing_changed(
    five: list[Organization], argv: list[str]
) -> None:
    before = all_tables()
    result = set_consent(*IN, *argv, "--yes")
    assert (result.code, result.out) == (2, "")
    assert "--reason" in result.err
    assert all_tables() == before


def test_set_consent__opt_in_without_subscription__exits_1_and_nothing_changed(five: list[Organization]) -> None:
    before = database()
    result = set_consent(*IN, "--organization", "external:e", "--reason", "x", "--yes")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Failed: There is no subscription for this product")
    assert result.err.endswith("Nothing was changed.\n")
    assert database() == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--surface", "le_chat_mobile", "--choice", "opted_out", "--all"], "each member's own"),
        (["--surface", "le_chat", "--choice", "opted_out", "--all"], "invalid choice: 'le_chat'"),
        (["--surface", "le_chat_console", "--choice", "default", "--all"], "invalid choice: 'default'"),
        ([*OUT], "Say which organizations"),
        (["--surface", "le_chat_console", "--all"], "--choice: say opted_out or opted_in"),
        (["--choice", "opted_out", "--all"], "Say --surface, or --digest"),
        ([*OUT, "--all", "--plan", "le_chat_free"], "--all goes with no other option"),
        ([*OUT, "--all", "--from-file", "ids.csv"], "--all goes with no other option"),
        ([*OUT, "--all", "--accept-drift"], "--accept-drift goes with --digest"),
        (["--digest", "00", "--all"], "--all goes not with --digest"),
        ([*OUT, "--created-from", "2026-05-01"], "--created-from: “2026-05-01” has no time zone"),
        ([*OUT, "--kind", "club"], "invalid choice: 'club'"),
        ([*OUT, "--plan", "le_chat_gold"], "There is no plan “le_chat_gold”"),
        ([*OUT, "--plan", "ai_studio_scale"], "not a plan of the product"),
        ([*OUT, "--all", "--actor", "nobody@provider.example"], "no active operator"),
    ],
)
def test_set_consent__wrong_command_line__exits_2_and_nothing_changed(
    five: list[Organization], argv: list[str], message: str
) -> None:
    before = database()
    actor = () if "--actor" in argv else ACTOR
    result = run("set_consent", *argv, *actor, "--yes")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert database() == before


def test_set_consent__opt_in_not_confirmed__exits_2_and_says_what_it_means(operator: Actor) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_enterprise", actor=operator)
    before = database()
    result = set_consent(*IN, "--organization", "external:a", "--reason", "x")
    assert (result.code, result.out) == (2, "")
    assert "what comes in from now on may be used for training? Say so with --yes." in result.err
    assert database() == before


@pytest.mark.parametrize("option", ["--reason", "--actor", "--plan"])
def test_set_consent__argument_that_is_no_text__exits_2_and_nothing_changed(
    five: list[Organization], option: str
) -> None:
    before = database()
    scope = () if option == "--plan" else ("--all",)
    result = run("set_consent", *OUT, *scope, *ACTOR, "--yes", option, "caf\udce9")
    assert (result.code, result.out) == (2, "")
    assert "caf\\udce9" in result.err
    assert database() == before


def test_set_consent__reason_too_long__exits_1_and_nothing_changed(five: list[Organization]) -> None:
    before = database()
    result = set_consent(*OUT, "--all", "--yes", "--reason", "x" * 501)
    assert (result.code, result.out) == (1, "")
    assert "reason: This has 501 characters; at most 500 are allowed." in result.err
    assert database() == before


def test_set_consent__interrupted__says_what_is_done_and_pauses(
    five: list[Organization], monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, size, 2)
    ordinary, chunks = engine._work, []

    def stop_at_the_second(job: BulkJob, last: int) -> None:
        if chunks:
            raise KeyboardInterrupt
        chunks.append(last)
        ordinary(job, last)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_work", stop_at_the_second)
        result = set_consent(*OUT, "--all", "--yes")
    assert (result.code, result.out) == (130, "")
    job = BulkJob.objects.get()
    assert f"Stopped. 2 of 5 rows are done and stay so. The job is paused: manage.py job resume {job.pk}" in result.err
    assert list(choices_of("le_chat").values()).count("opted_out") == 2
    assert (job.status, job.cursor) == ("paused", 2)
    assert run("job", "resume", str(job.pk), *ACTOR).code == 0
    assert run("job", "run", str(job.pk), "--format", "json").json["changed"] == 5
    assert set(choices_of("le_chat").values()) == {"opted_out"}
    assert verification.verify().problems == []


def test_set_consent__explicit_opt_in_of_the_customer__opted_out_too(five: list[Organization], operator: Actor) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=five[0],
        choice="opted_in",
        actor=operator,
        source="admin",
        reason="x",
        version_required=False,
    )
    set_consent(*OUT, "--organization", "external:a", "--yes")
    assert choices_of("le_chat")["a"] == "opted_out"


# --- Previews, selections, approval ------------------------------------------------------------------------------


def preview(*argv: str) -> Any:
    return set_consent(*argv, "--dry-run", "--format", "json").json


def test_set_consent__dry_run__sample_and_digest_and_the_preview_kept(five: list[Organization]) -> None:
    found = preview(*OUT, "--plan", "le_chat_free")
    assert (found["status"], found["changed"], found["dry_run"]) == ("previewed", 3, True)
    assert [(row["external_id"], row["outcome"], row["before"], row["after"]) for row in found["sample"]] == [
        (each, "change", "default", "opted_out") for each in "abc"
    ]
    job = BulkJob.objects.get()
    assert (str(job.pk), job.digest, job.status) == (found["job"], found["digest"], "previewed")


def test_set_consent__digest__runs_the_kept_preview(five: list[Organization]) -> None:
    found = preview(*OUT, "--plan", "le_chat_free")
    result = set_consent("--digest", found["digest"], "--yes", "--format", "json")
    assert (result.code, result.json["job"], result.json["changed"]) == (0, found["job"], 3)
    assert choices_of("le_chat") == {"a": "opted_out", "b": "opted_out", "c": "opted_out", "d": "default"}
    again = set_consent("--digest", found["digest"], "--yes")
    assert (again.code, again.out) == (1, "")
    assert "no preview with this digest" in again.err


def test_set_consent__digest_of_a_selection_that_drifted__refused_unless_told(five: list[Organization]) -> None:
    found = preview(*OUT, "--plan", "le_chat_free")
    set_consent(*OUT, "--organization", "external:a", "--yes")
    before = all_tables()
    result = set_consent("--digest", found["digest"], "--yes")
    assert (result.code, result.out) == (1, "")
    assert "have changed since the preview" in result.err
    assert all_tables() == before
    told_to = set_consent("--digest", found["digest"], "--yes", "--accept-drift", "--format", "json")
    assert (told_to.code, told_to.json["changed"], told_to.json["unchanged"]) == (0, 2, 1)


def test_set_consent__several_options__all_must_hold(operator: Actor) -> None:
    for name, kind, country in (("a", "team", "FR"), ("b", "personal", "FR"), ("c", "team", "DE")):
        owner = ("bo@example.com", "Bo") if kind == "personal" else None
        draft = OrganizationDraft(name=name, external_id=name, kind=kind, country=country, owner=owner)
        organizations.create_organization(draft=draft, actor=operator, source="admin")
    both = preview(*OUT, "--kind", "team", "--country", "fr")
    assert [row["external_id"] for row in both["sample"]] == ["a"]
    assert preview(*OUT, "--country", "FR", "DE")["matched"] == 3
    assert preview(*OUT, "--organization", "external:a", "external:b", "--kind", "team")["matched"] == 1
    assert preview(*OUT, "--status", "closed")["matched"] == 0
    assert preview(*OUT, "--created-until", "2001-01-01T00:00:00Z")["matched"] == 0
    assert preview(*OUT, "--created-from", "2001-01-01T00:00:00Z", "--reason-code", "no_subscription")["matched"] == 3
    set_consent(*OUT, "--organization", "external:c", "--yes")
    assert preview(*OUT, "--state", "default")["matched"] == 2


def test_set_consent__file_and_other_options__those_of_both(five: list[Organization], tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("external_id\na\nd\n")
    result = set_consent(*OUT, "--from-file", str(path), "--plan", "le_chat_free", "--yes")
    assert (result.code, told(result)) == (0, ["changed 1", "unchanged 0"])
    assert "1 row of the file left out" in result.err
    assert choices_of("le_chat")["d"] == "default"


def test_set_consent__stdin__is_read_as_a_file(five: list[Organization], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_PAGE", 2)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"external_id\na\nb\ne\na\n")))
    result = set_consent(*OUT, "--from-file", "-", "--yes")
    assert (result.code, told(result)) == (0, ["changed 3", "unchanged 0"])


def test_set_consent__file_with_choices__each_its_own_once_approved(five: list[Organization], tmp_path: Path) -> None:
    second = UserFactory(email="frigg@provider.example", operator=True)
    path = tmp_path / "choices.csv"
    path.write_text("external_id,choice\na,opted_out\nb,Opted in\ne,opted-in\n")
    argv = ("--surface", "le_chat_console", "--from-file", str(path), "--reason", "Letters of May", "--yes")
    result = set_consent(*argv, "--format", "json")
    assert (result.code, result.json["status"], result.json["loosens"]) == (0, "awaiting_approval", True)
    assert result.json["refused_because"] == {"no_subscription": 1}
    assert f"manage.py job approve {result.json['job']}" in result.err
    assert choices_of("le_chat")["a"] == "default"
    assert run("job", "approve", result.json["job"], "--actor", second.email).code == 0
    assert run("job", "run", result.json["job"]).code == 0
    assert choices_of("le_chat") | {"e": ""} == {
        "a": "opted_out", "b": "opted_in", "c": "default", "d": "default", "e": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "choice", "code", "message"),
    [
        ("external_id,choice\na,opted_out\nb,maybe\n", (), 1, "row 3, column choice: “maybe” is not a choice"),
        ("external_id,choice\na,opted_out\nb,\n", (), 1, "row 3, column choice: “” is not a choice"),
        ("external_id,choice\na,opted_out\na,opted_in\n", (), 1, "row 3, column choice: “external:a” appears"),
        ("external_id,choice\na,opted_out\n", ("--choice", "opted_out"), 2, "one of the two"),
        ("external_id\na\n", (), 2, "one of the two"),
        ("external_id,choice\na,opted_in\n", (), 1, "needs a reason"),
    ],
)
def test_set_consent__bad_choices_in_file__named_and_nothing_changed(
    five: list[Organization], tmp_path: Path, text: str, choice: tuple[str, ...], code: int, message: str
) -> None:
    path = tmp_path / "choices.csv"
    path.write_text(text)
    before = all_tables()
    result = set_consent("--surface", "le_chat_console", *choice, "--from-file", str(path), "--yes")
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert all_tables() == before


@pytest.mark.parametrize(
    "argv", [["--organization", "external:a", "external:b"], ["--plan", "le_chat_free"], ["--all"]]
)
def test_set_consent__opt_in_of_many__waits_for_a_second_operator(five: list[Organization], argv: list[str]) -> None:
    before = database()
    result = set_consent(*IN, *argv, "--reason", "x", "--yes")
    job = BulkJob.objects.get()
    assert (result.code, job.status) == (0, "awaiting_approval")
    assert f"manage.py job approve {job.pk}" in result.err
    assert database() == before


def test_set_consent__opt_in_of_many__passes_over_those_who_opted_out(five: list[Organization]) -> None:
    set_consent(*OUT, "--organization", "external:a", "--yes")
    result = set_consent(*IN, "--plan", "le_chat_free", "--reason", "x", "--dry-run")
    assert told(result) == ["would change 2", "would stay 0", "refused: Organization opted out 1"]
    assert "waits for a second operator" in result.err


def test_set_consent__background__queued_for_a_worker(five: list[Organization]) -> None:
    before = database()
    result = set_consent(*OUT, "--all", "--yes", "--background", "--format", "json")
    assert (result.code, result.json["status"]) == (0, "queued")
    assert database() == before
