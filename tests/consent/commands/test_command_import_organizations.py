from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from accounts.access import Actor
from accounts.models import Member, Organization, Subscription
from consent import verification
from consent.decisions import decide
from consent.lookups import Question
from consent.models import BulkJob, ConsentEvent
from consent.services import choices
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.commands import ACTOR, Run, choices_of, database, run
from tests.support.factories import ActorFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db
Import = Callable[..., Run]
MAP = ("--map", "name=Name", "--map", "external_id=Id")
WITH_CHOICE = ("--map", "choice=Training")


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


@pytest.fixture
def load(tmp_path: Path, operator: Actor) -> Import:
    """Import this text with these options."""

    def load_text(text: str | bytes, *options: str, plan: str = "le_chat_free") -> Run:
        path = tmp_path / "organizations.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return run("import_organizations", str(path), *MAP, "--plan", plan, *ACTOR, *options)

    return load_text


def _counts(result: Run) -> dict[str, int]:
    names = ("created", "opted_out", "unchanged", "differing", "duplicates", "bad")
    return {name: result.json[name] for name in names if result.json[name]}


def test_import__new_organizations__created_with_plan_and_event(load: Import) -> None:
    result = load("Name,Id,C\n  Uni  of Évry ,u1,fr\nB,u2,\n", "--map", "country=C")
    assert result.code == 0
    assert result.out.splitlines() == [
        "created     2",
        "opted out   0",
        "unchanged   0",
        "differing   0",
        "refused     0",
        "duplicates  0",
        "bad         0",
        "written     yes",
    ]
    assert "2 of 2 rows" in result.err
    one, two = Organization.objects.order_by("external_id")
    assert (one.name, one.country, one.kind) == ("Uni of Évry", "FR", "team")
    assert (two.name, two.country) == ("B", "")
    assert [s.plan_id for s in Subscription.objects.filter(ended_at=None)] == ["le_chat_free"] * 2
    assert set(ConsentEvent.objects.values_list("source", "actor_type")) == {("import", "command")}
    assert verification.verify().problems == []


def test_import__choice_opted_out__written_before_the_subscription_so_no_window_opens(load: Import) -> None:
    result = load("Name,Id,Training\nA,a,opted_out\nB,b,\nC,c, Opted-Out \n", *WITH_CHOICE)
    assert result.code == 0
    assert choices_of("le_chat") == {"a": "opted_out", "b": "default", "c": "opted_out"}
    assert not ConsentEvent.objects.filter(organization__external_id__in=["a", "c"], allowed=True).exists()


def test_import__default_choice_and_two_plans__out_for_both_products(load: Import) -> None:
    result = load("Name,Id\nA,a\n", "--plan", "ai_studio_experiment", "--default-choice", "opted_out")
    assert result.code == 0
    assert choices_of("le_chat") == choices_of("ai_studio") == {"a": "opted_out"}


def test_import__file_of_a_spreadsheet__read(load: Import) -> None:
    result = load('Name;Id\r\n"Müller; Söhne";m\r\n'.encode("cp1252"))
    assert result.code == 0
    assert "Windows-1252" in result.err
    assert Organization.objects.get().name == "Müller; Söhne"


def test_import__same_file_again__all_unchanged_and_nothing_written(load: Import) -> None:
    text = "Name,Id,Training\nA,a,opted_out\nB,b,\n"
    load(text, *WITH_CHOICE)
    before = database()
    again = load(text, *WITH_CHOICE, "--format", "json")
    assert (again.code, _counts(again)) == (0, {"unchanged": 2})
    assert database() == before


def test_import__known_with_opt_out__opted_out_and_nothing_else(load: Import, operator: Actor) -> None:
    OrganizationFactory.with_ids("a", "b", plan="le_chat_pro", actor=operator)
    result = load("Name,Id,Training\na Ltd,a,opted_out\nOther,b,\n", *WITH_CHOICE, "--format", "json")
    assert (result.code, _counts(result)) == (0, {"opted_out": 1, "differing": 2})
    assert choices_of("le_chat") == {"a": "opted_out", "b": "default"}
    other_plan = "plan for le_chat “le_chat_pro”, not “le_chat_free”. Left as it is."
    assert result.json["differing_rows"] == [
        f"row 2, column Id: “a”: It is here with {other_plan}",
        f"row 3, column Id: “b”: It is here with name “b Ltd”, not “Other”; {other_plan}",
    ]
    assert set(Organization.objects.values_list("name", flat=True)) == {"a Ltd", "b Ltd"}
    assert set(Subscription.objects.values_list("plan_id", flat=True)) == {"le_chat_pro"}
    assert verification.verify().problems == []


def test_import__known_opted_out_file_says_nothing__stays_out(load: Import, operator: Actor) -> None:
    [acme] = OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=acme, choice="opted_out", actor=operator, source="admin"
    )  # fmt: skip
    result = load("Name,Id,Training\na Ltd,a,\n", *WITH_CHOICE, "--format", "json")
    assert (result.code, _counts(result)) == (0, {"unchanged": 1})
    assert choices_of("le_chat") == {"a": "opted_out"}


def test_import__known_already_out__unchanged(load: Import) -> None:
    load("Name,Id,Training\nA,a,opted_out\n", *WITH_CHOICE)
    events = ConsentEvent.objects.count()
    again = load("Name,Id\nA,a\n", "--default-choice", "opted_out", "--format", "json")
    assert _counts(again) == {"unchanged": 1}
    assert ConsentEvent.objects.count() == events


@pytest.mark.parametrize("extra", [(), ("--skip-bad",), ("--dry-run",)])
@pytest.mark.parametrize("word", ["opted_in", "Opted In"])
def test_import__opts_in_without_reason__exits_2_and_nothing_written(
    load: Import, word: str, extra: tuple[str, ...]
) -> None:
    before = database()
    result = load(f"Name,Id,Training\nA,a,opted_out\nB,b,{word}\n", *WITH_CHOICE, *extra)
    assert (result.code, result.out) == (2, "")
    assert "--reason: The file opts in, so it needs a reason." in result.err
    assert database() == before


def test_import__default_choice_opted_in_without_reason__exits_2_and_nothing_written(load: Import) -> None:
    before = database()
    result = load("Name,Id\nA,a\n", "--default-choice", "opted_in")
    assert (result.code, result.out) == (2, "")
    assert "--reason" in result.err
    assert database() == before


def test_import__opts_in_with_reason__nothing_written_until_another_operator_approved(load: Import) -> None:
    UserFactory(email="frida@provider.example", name="Frida", operator=True)
    text = "Name,Id,Training\nA,a,opted_out\nB,b,opted_in\n"
    result = load(text, *WITH_CHOICE, "--reason", "Signed, ticket 7", "--format", "json")
    assert (result.code, result.json["written"], result.json["status"]) == (0, False, "awaiting_approval")
    assert not Organization.objects.exists() and not ConsentEvent.objects.exists()
    job = result.json["job"]
    assert run("job", "approve", job, *ACTOR).code == 1
    assert not Organization.objects.exists()
    assert run("job", "approve", job, "--actor", "frida@provider.example").code == 0
    assert run("job", "run", job).code == 0
    assert choices_of("le_chat") == {"a": "opted_out", "b": "opted_in"}
    event = ConsentEvent.objects.get(kind="choice.opted_in")
    assert (event.reason, event.source, event.allowed) == ("Signed, ticket 7", "import", True)
    assert verification.verify().problems == []


BAD = "Name,Id,Country,Training\nGood,g,FR,\n,n,FR,\nNoId,,FR,\nBr,b,Brasil,\nCh,c,CH,maybe\nShort,s\n"
BAD_LINES = [
    "row 3, column Name: It is empty. Give a value for name.",
    "row 4, column Id: It is empty. Every organization needs its external id.",
    "row 5, column Country: “Brasil” is not a country: two letters, like FR.",
    "row 6, column Training: “maybe”: Write opted_out or opted_in, or leave it empty where nobody has chosen.",
    "row 7: has 2 values, but there are 4 columns; put values with a separator in quotes",
]


def test_import__bad_rows__each_reported_exit_1_nothing_written(load: Import) -> None:
    before = database()
    result = load(BAD, *WITH_CHOICE, "--map", "country=Country", "--format", "json")
    assert result.code == 1
    assert result.err.splitlines() == [
        *BAD_LINES, "Failed: 5 bad rows, so nothing was written. Mend them, or use --skip-bad.",
    ]  # fmt: skip
    assert (result.json["bad_rows"], result.json["written"], _counts(result)) == (
        BAD_LINES,
        False,
        {"created": 1, "bad": 5},
    )
    assert database() == before


def test_import__bad_rows_skipped__good_ones_written(load: Import) -> None:
    result = load(BAD, *WITH_CHOICE, "--map", "country=Country", "--skip-bad", "--format", "json")
    assert (result.code, _counts(result)) == (0, {"created": 1, "bad": 5})
    assert result.err.splitlines()[:5] == BAD_LINES
    assert Organization.objects.get().external_id == "g"


@pytest.mark.parametrize("field", ["name", "external_id"])
def test_import__value_too_long__bad_and_shortened(load: Import, field: str) -> None:
    values = {"name": "A", "external_id": "a", field: "x" * 201}
    result = load(f"Name,Id\n{values['name']},{values['external_id']}\n")
    assert result.code == 1
    assert f"“{'x' * 80}…”: This has 201 characters; at most 200 are allowed." in result.err
    assert not Organization.objects.exists()


def test_import__identical_duplicates__skipped_and_counted(load: Import) -> None:
    result = load("Name,Id,Note\nA,a,1\nB,b,2\n A ,a,3\n", "--format", "json")
    assert (result.code, _counts(result)) == (0, {"created": 2, "duplicates": 1})


def test_import__rows_of_one_id_differ__later_is_bad_and_names_the_first(load: Import) -> None:
    text = "Name,Id\nA,a\nB,b\nC,a\n"
    message = "row 4, column Id: “a”: This stands in row 2 already, with another Name. Keep one of the two."
    assert load(text).err.splitlines()[0] == message
    assert not Organization.objects.exists()
    result = load(text, "--skip-bad", "--format", "json")
    assert (result.code, _counts(result), result.json["bad_rows"]) == (0, {"created": 2, "bad": 1}, [message])
    assert set(Organization.objects.values_list("name", flat=True)) == {"A", "B"}


def test_import__rows_of_one_id_differ_in_the_choice__both_bad(load: Import) -> None:
    text = "Name,Id,Training\nA,a,\nB,b,\nA,a,opted_out\nA,a,opted_out\n"
    result = load(text, *WITH_CHOICE, "--skip-bad", "--format", "json")
    assert result.code == 0
    assert [line.partition(":")[0] for line in result.json["bad_rows"]] == [
        "row 2, column Id", "row 4, column Id", "row 5, column Id",
    ]  # fmt: skip
    assert Organization.objects.get().external_id == "b"


@pytest.mark.parametrize("known", [True, False])
def test_import__dry_run__counts_and_changes_nothing(load: Import, operator: Actor, known: bool) -> None:
    if known:
        OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    before = database()
    result = load("Name,Id\na Ltd,a\n", "--default-choice", "opted_out", "--dry-run", "--format", "json")
    assert (result.code, result.json["written"]) == (0, False)
    assert _counts(result) == ({"opted_out": 1} if known else {"created": 1})
    assert database() == before


def test_import__chunk_that_the_database_refuses__undone_and_resumable(load: Import) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX name_once ON accounts_organization (name)")
    result = load("Name,Id\nA,a\nA,b\n")
    assert result.code == 1
    assert not Organization.objects.exists() and not ConsentEvent.objects.exists()
    job = BulkJob.objects.get()
    assert (job.status, job.cursor) == ("failed", 0) and str(job.pk) in result.err
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX name_once")
    assert run("job", "resume", str(job.pk), *ACTOR).code == 0
    assert run("job", "run", str(job.pk)).code == 0
    assert Organization.objects.count() == 2
    assert verification.verify().problems == []


def test_import__personal__owner_from_the_file(load: Import) -> None:
    result = load(
        "Name,Id,Mail\nMira Okafor,m, Mira@Okafor.example \n", "--kind", "personal", "--map", "owner_email=Mail"
    )
    assert result.code == 0
    owner = Member.objects.select_related("user").get()
    assert (owner.role, owner.user.email, owner.user.name) == ("owner", "mira@okafor.example", "Mira Okafor")
    answer = decide(Question("external:m", "le_chat"), Actor.system())
    assert answer.decision.allowed


def test_import__personal_with_bad_address__row_and_column_named(load: Import) -> None:
    result = load("Name,Id,Mail\nMira,m,nowhere\n", "--kind", "personal", "--map", "owner_email=Mail")
    assert result.code == 1
    assert "row 2, column Mail: “nowhere” is not an e-mail address." in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--map", "country=Land"], "There is no column “Land”. The columns are: Name, Id, C."),
        (["--map", "colour=C"], "“colour=C” is not FIELD=COLUMN"),
        (["--map", "country"], "“country” is not FIELD=COLUMN"),
        (["--map", "name=C"], "name is given twice"),
        (["--map", "choice=C", "--default-choice", "opted_out"], "not both"),
        (["--plan", "le_chat_gold"], "There is no plan “le_chat_gold”. The plans: le_chat_free, "),
        (["--plan", "le_chat_pro"], "One plan per product"),
        (["--kind", "personal"], "owner_email"),
        (["--map", "owner_email=C"], "owner_email"),
        (["--kind", "club"], "invalid choice: 'club'"),
        (["--default-choice", "maybe"], "invalid choice: 'maybe'"),
        (["--actor", "nobody@provider.example"], "no active operator “nobody@provider.example”"),
    ],
)
def test_import__wrong_command_line__exits_2_and_nothing_written(
    load: Import, options: list[str], message: str
) -> None:
    before = database()
    result = load("Name,Id,C\nA,a,FR\n", *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert database() == before


@pytest.mark.parametrize(("field", "other"), [("name", "external_id=Id"), ("external_id", "name=Name")])
def test_import__needed_field_not_mapped__exits_2(operator: Actor, tmp_path: Path, field: str, other: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text("Name,Id\nA,a\n")
    result = run("import_organizations", str(path), "--map", other, "--plan", "le_chat_free", *ACTOR)
    assert result.code == 2
    assert f"--map: Choose the column that contains the {field}." in result.err


def test_import__no_such_file__exits_1(operator: Actor, tmp_path: Path) -> None:
    result = run("import_organizations", str(tmp_path / "no.csv"), *MAP, "--plan", "le_chat_free", *ACTOR)
    assert (result.code, result.out) == (1, "")
    assert "No such file" in result.err


def test_import__quotes_unclosed__exits_1_and_nothing_written(load: Import) -> None:
    before = database()
    result = load('Name,Id\nA,a\n"B,b\nC,c\n', "--skip-bad")
    assert (result.code, result.out) == (1, "")
    assert "row 3: " in result.err
    assert database() == before


def test_import__actor_no_operator__exits_2(load: Import, operator: Actor) -> None:
    assert operator.user is not None
    operator.user.is_staff = False
    operator.user.save(update_fields=["is_staff"])
    assert load("Name,Id\nA,a\n").code == 2
    assert not Organization.objects.exists()


def test_import__control_characters_in_values__escaped_in_messages(load: Import) -> None:
    result = load("Name,Id,C\nA,a,\x1b[2J\n", "--map", "country=C")
    assert result.code == 1
    assert "\x1b" not in result.err
    assert "\\u001b[2J" in result.err
