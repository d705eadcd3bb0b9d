"""An import is approved as it was read (R13): in every table, rows that loosen must be unchanged; others need not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Member, Organization, User
from consent import verification
from consent.jobs import actions
from consent.models import BulkJob, PrivacySetting
from consent.services import locks, plans
from consent.services import organizations as services
from tests.support import cast as casting
from tests.support.commands import ACTOR, Run, run
from tests.support.factories import ActorFactory, OrganizationFactory, UserFactory
from tests.support.imports import SECOND

pytestmark = pytest.mark.django_db
HEAD = "organization_external_id"
REASONS = ("--reason", "Letters", "--reference", "Contract 7")


@pytest.fixture
def operator() -> Actor:
    UserFactory(email=SECOND, name="Frida Berg", operator=True)
    return ActorFactory(of_commands=True)


def the(external_id: str) -> Organization:
    return Organization.objects.get(external_id=external_id)


def about(operator: Actor, external_id: str) -> dict[str, Any]:
    return {"organization": the(external_id), "actor": operator, "source": "admin"}


def setting(external_id: str) -> PrivacySetting:
    return PrivacySetting.objects.of_organizations().get(organization=the(external_id), product="le_chat")


def locked_and_unlocked(operator: Actor, external_id: str) -> None:
    locks.place_lock(product="le_chat", reason="law", reference="1", **about(operator, external_id))
    locks.lift_lock(product="le_chat", reason="over", **about(operator, external_id))


def read(tmp_path: Path, table: str, text: str, *options: str) -> Run:
    path = tmp_path / f"{table}.csv"
    path.write_text(text)
    mapped = [f"--map={name}={name}" for name in text.partition("\n")[0].split(",")]
    result = run(f"import_{table}", str(path), *ACTOR, *mapped, *REASONS, *options, "--format", "json")
    assert (result.code, result.json["status"]) == (0, "awaiting_approval"), result.err
    return result


def approved(result: Run) -> BulkJob:
    job = result.json["job"]
    assert run("job", "approve", job, "--actor", SECOND).code == 0
    assert run("job", "run", job).code == 0
    assert verification.verify().problems == []
    return BulkJob.objects.get(pk=job)


# table → file whose second row loosens on "a", third on "b", and the organizations' plan. What changes is "a".
TABLES: dict[str, tuple[str, str]] = {
    "choices": (f"{HEAD},product,choice\na,le_chat,opted_in\nb,le_chat,opted_in\n", "le_chat_teams"),
    "attested choices": (
        f"{HEAD},product,choice,since\na,le_chat,opted_in,2024-01-01T00:00:00Z\nb,le_chat,opted_in,\n",
        "le_chat_pro",
    ),
    "subscriptions": (f"{HEAD},plan\na,le_chat_pro\nb,le_chat_pro\n", "le_chat_pro"),
    "members": (
        (
            f"{HEAD},email,role,since\na,ann@a.example,member,2024-01-01T00:00:00Z\n"
            "b,bea@b.example,member,2024-01-01T00:00:00Z\n"
        ),
        "le_chat_pro",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_import__row_that_loosens_changed_since_it_was_read__is_refused_and_told(
    operator: Actor, tmp_path: Path, case: str
) -> None:
    text, plan = TABLES[case]
    if case == "attested choices":  # only of what was never denied can an earlier start be attested
        path = tmp_path / "organizations.csv"
        path.write_text("name,external_id\nA,a\nB,b\n")
        mapped = ("--map", "name=name", "--map", "external_id=external_id")
        assert run("import_organizations", str(path), *mapped, "--plan", plan, *ACTOR).code == 0
    else:
        OrganizationFactory.with_ids("a", "b", plan=plan, actor=operator)
    if case == "subscriptions":  # a restart under which data is used again
        for name in ("a", "b"):
            plans.end_subscription(product="le_chat", **about(operator, name))
    result = read(tmp_path, case.rpartition(" ")[2], text)
    locked_and_unlocked(operator, "a")
    before = setting("a")
    job = approved(result)
    assert (job.changed, job.refused, job.refusals) == (1, 1, {"changed_since": 1})
    assert setting("a").last_event_id == before.last_event_id
    assert not Member.objects.filter(user__email="ann@a.example").exists()
    [told] = job.problems.filter(kind="refused")
    assert "changed since the file was read" in told.remedy and told.line == 2


def test_import__opt_outs_beside__run_whatever_has_changed(operator: Actor, tmp_path: Path) -> None:
    OrganizationFactory.with_ids("a", "b", plan="le_chat_teams", actor=operator)
    result = read(tmp_path, "choices", f"{HEAD},product,choice\na,le_chat,opted_out\nb,le_chat,opted_in\n")
    for name in ("a", "b"):
        locked_and_unlocked(operator, name)
    job = approved(result)
    assert (job.changed, job.refusals) == (1, {"changed_since": 1})
    assert [setting(name).choice for name in ("a", "b")] == ["opted_out", "default"]


def default_set(operator: Actor, plan: str, default: str) -> None:
    job = actions.preview_default(
        plan=plans.get_plan(plan), default=default, actor=operator, source="admin", reason="terms"
    )
    job = actions.submit(job=job, actor=operator, digest=job.digest)
    if job.loosens:
        job = actions.approve(job=job, actor=Actor.from_user(User.objects.get(email=SECOND), confirmed=True))
    assert run("job", "run", str(job.pk)).code == 0


NEW = "name,external_id,choice,since\nA,a,,2024-01-01T00:00:00Z\nB,b,opted_out,\n"


def test_import_organizations__default_of_their_plan_set_since__attested_ones_are_refused(
    operator: Actor, tmp_path: Path
) -> None:
    default_set(operator, "le_chat_free", "opted_out")
    result = read(tmp_path, "organizations", NEW, "--plan", "le_chat_free")
    default_set(operator, "le_chat_free", "opted_in")
    job = approved(result)
    assert (job.changed, job.refusals) == (1, {"changed_since": 1})
    assert list(Organization.objects.values_list("external_id", flat=True)) == ["b"]


def test_import_organizations__nothing_changed__all_are_made(operator: Actor, tmp_path: Path) -> None:
    job = approved(read(tmp_path, "organizations", NEW, "--plan", "le_chat_free"))
    assert (job.changed, job.refusals) == (2, {})
    assert setting("a").since.year == 2024  # type: ignore[union-attr]


ENDS: dict[str, Callable[[BulkJob], User]] = {
    "author": lambda job: job.author,
    "approver": lambda job: User.objects.get(email=SECOND),
}


@pytest.mark.parametrize("who", ENDS)
@pytest.mark.parametrize("table", ["organizations", "choices"])
def test_import__somebody_may_no_longer__only_what_tightens_runs(
    operator: Actor, tmp_path: Path, table: str, who: str
) -> None:
    if table == "choices":
        OrganizationFactory.with_ids("a", "b", plan="le_chat_teams", actor=operator)
        text, more = f"{HEAD},product,choice\na,le_chat,opted_in\nb,le_chat,opted_out\n", ()
    else:
        text, more = NEW, ("--plan", "le_chat_free")
    result = read(tmp_path, table, text, *more)
    ident = result.json["job"]
    assert run("job", "approve", ident, "--actor", SECOND).code == 0
    person = ENDS[who](BulkJob.objects.get(pk=ident))
    person.is_active = False
    person.save()
    assert run("job", "run", ident).code == 0
    job = BulkJob.objects.get(pk=ident)
    assert (job.changed, job.refusals) == (1, {"authority_ended": 1})
    assert verification.verify().problems == []


def test_import__its_preview__names_what_loosens_to_the_second_operator(operator: Actor, tmp_path: Path) -> None:
    OrganizationFactory.with_ids("a", "b", plan="le_chat_teams", actor=operator)
    result = read(tmp_path, "choices", f"{HEAD},product,choice\na,le_chat,opted_in\nb,le_chat,opted_out\n")
    shown = run("job", "show", result.json["job"], "--format", "json").json
    told = {(row["plan"], row["before"], row["after"], row["loosens"]): row["count"] for row in shown["summary"]}
    assert told == {
        ("le_chat_teams", "default", "opted_in", True): 1, ("le_chat_teams", "default", "opted_out", False): 1,
    }  # fmt: skip
    assert [(row["external_id"], row["after"]) for row in shown["sample"]] == [("a", "opted_in"), ("b", "opted_out")]
    assert shown["reason"] == "Letters" and shown["submitter"]["label"] == "Odin Eriksen"
    rows = run("job", "rows", result.json["job"], "--format", "json").json
    assert [(row["external_id"], row["choice"], row["loosens"]) for row in rows] == [
        ("a", "opted_in", True), ("b", "opted_out", False),
    ]  # fmt: skip
    client = casting.signed_in(SECOND)
    answer = client.get(f"/admin/consent/bulkjob/{result.json['job']}/change/")
    assert answer.status_code == 200, answer.headers
    page = answer.content.decode()
    assert "a Ltd" in page and "Letters" in page and 'id="job-approve"' in page
    own = casting.signed_in(ACTOR[1]).get(f"/admin/consent/bulkjob/{result.json['job']}/change/").content.decode()
    assert 'id="job-approve"' not in own and "another operator has to approve it" in own


def test_close__account_closed_since__is_refused_by_its_own_reason(operator: Actor, tmp_path: Path) -> None:
    OrganizationFactory.with_ids("a", "b", plan="le_chat_teams", actor=operator)
    result = read(tmp_path, "choices", f"{HEAD},product,choice\na,le_chat,opted_in\nb,le_chat,opted_in\n")
    services.close_organization(reason="over", **about(operator, "a"))
    assert approved(result).refusals == {"organization_closed": 1}
