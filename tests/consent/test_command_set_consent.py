import io
from pathlib import Path

import pytest

from accounts.access import Actor
from accounts.models import Organization
from consent import verification
from consent.bulk import selections
from consent.models import ConsentEvent, PrivacySetting
from consent.services import choices, organizations, plans
from consent.surfaces import LE_CHAT_CONSOLE
from tests.commands import ACTOR, Run, Terminal, choices_of, database, make_operator, make_organizations, run

pytestmark = pytest.mark.django_db
OUT = ("--surface", "le_chat_console", "--choice", "opted_out")
IN = ("--surface", "le_chat_console", "--choice", "opted_in")


@pytest.fixture
def operator() -> Actor:
    return make_operator()


@pytest.fixture
def five(operator: Actor) -> list[Organization]:
    """a, b, c on Le Chat Free, d on Pro, e on nothing."""
    return [
        *make_organizations(operator, "le_chat_free", "a", "b", "c"),
        *make_organizations(operator, "le_chat_pro", "d"),
        *make_organizations(operator, "", "e"),
    ]


def set_consent(*argv: str) -> Run:
    return run("set_consent", *argv, *ACTOR)


def test_set_consent__plan__opts_its_subscribers_out(five: list[Organization], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selections, "PAGE", 2)
    result = set_consent(*OUT, "--plan", "le_chat_free", "--yes", "--reason", "Contract 4711")
    assert (result.code, result.out) == (0, "changed    3\nunchanged  0\n")
    assert "3 of 3 organizations" in result.err
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
    assert result.json == {
        "surface": "le_chat_console", "choice": "opted_out", "changed": 5, "unchanged": 0, "dry_run": False,
    }  # fmt: skip
    assert choices_of("le_chat") == dict.fromkeys("abcde", "opted_out")


def test_set_consent__again__unchanged_and_nothing_written(five: list[Organization]) -> None:
    set_consent(*OUT, "--all", "--yes")
    before = database()
    again = set_consent(*OUT, "--all", "--yes")
    assert (again.code, again.out) == (0, "changed    0\nunchanged  5\n")
    assert database() == before


def test_set_consent__organizations_by_both_ids__each_once(five: list[Organization]) -> None:
    result = set_consent(*OUT, "--organization", str(five[0].pk), "external:a", "external:e", "--yes")
    assert (result.code, result.out) == (0, "changed    2\nunchanged  0\n")
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
    assert (result.code, result.out) == (0, "changed    2\nunchanged  0\n")
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
    assert set_consent(*OUT, "--from-file", str(path)).out == "changed    0\nunchanged  0\n"


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
    assert (result.code, result.out) == (0, "would change  2\nwould stay    1\n")
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
    make_organizations(operator, "le_chat_enterprise", "a")
    argv = (*IN, "--organization", "external:a", "--reason", "Agreement of May", "--yes")
    result = set_consent(*argv)
    assert (result.code, result.out) == (0, "changed    1\nunchanged  0\n")
    setting = PrivacySetting.objects.get()
    assert (setting.allowed, setting.choice, setting.choice_event.reason) == (True, "opted_in", "Agreement of May")
    before = database()
    assert set_consent(*argv).out == "changed    0\nunchanged  1\n"
    assert database() == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--organization", "external:a"], "--reason"),
        (["--organization", "external:a", "--reason", "  "], "--reason"),
        (["--organization", "external:a", "external:b", "--reason", "x"], "approval"),
        (["--plan", "le_chat_free", "--reason", "x"], "approval"),
        (["--all", "--reason", "x"], "approval"),
        (["--from-file", "ids.csv", "--reason", "x"], "approval"),
    ],
)
def test_set_consent__opt_in_of_many_or_without_reason__exits_2_and_nothing_changed(
    five: list[Organization], argv: list[str], message: str
) -> None:
    before = database()
    result = set_consent(*IN, *argv, "--yes")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert database() == before


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
        ([*OUT], "one of the arguments --plan --organization --from-file --all is required"),
        ([*OUT, "--all", "--plan", "le_chat_free"], "not allowed with argument"),
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
    make_organizations(operator, "le_chat_enterprise", "a")
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
    assert "reason: At most 500 characters are kept, not 501." in result.err
    assert database() == before


def test_set_consent__interrupted__says_what_is_done(five: list[Organization], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selections, "PAGE", 2)
    ordinary = choices._opt_out_chunk
    chunks: list[object] = []

    def stop_at_the_second(*args: object) -> None:
        if chunks:
            raise KeyboardInterrupt
        chunks.append(args)
        ordinary(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(choices, "_opt_out_chunk", stop_at_the_second)
    result = set_consent(*OUT, "--all", "--yes")
    assert (result.code, result.out) == (1, "")
    assert "Stopped. 2 of 5 are done and stay so; run it again for the rest." in result.err
    assert list(choices_of("le_chat").values()).count("opted_out") == 2


def test_set_consent__explicit_opt_in_of_the_customer__opted_out_too(five: list[Organization], operator: Actor) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=five[0], choice="opted_in", actor=operator, source="admin", reason="x"
    )
    set_consent(*OUT, "--organization", "external:a", "--yes")
    assert choices_of("le_chat")["a"] == "opted_out"
