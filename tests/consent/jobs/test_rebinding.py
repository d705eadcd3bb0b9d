"""Jobs that rebind: the only way to give an external id to another subject (R16)."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from accounts.access import Forbidden
from accounts.models import Binding, Member, Organization
from consent import decisions, ledger, verification
from consent.errors import Invalid, Refused
from consent.jobs import actions, engine, rebinding, reports
from consent.jobs.list_errors import BadList
from consent.jobs.rebind_files import RebindFile, Rebinding
from consent.jobs.selection import ListError
from consent.lookups import Question
from consent.models import BulkJob, ConsentEvent, PrivacySetting
from consent.services import choices, external_ids, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_MOBILE
from tests.support.commands import run
from tests.support.jobs import Team
from tests.support.ledger_guards import everything

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team()


def make(team: Team, external_id: str | None = None) -> Organization:
    draft = OrganizationDraft(
        name=f"Hall {external_id}", external_id=external_id, subscriptions=[plans.get_plan("ai_studio_experiment")]
    )
    return organizations.create_organization(draft=draft, actor=team.actor, source="admin")


def asked(team: Team, organization: str, **more: Any) -> tuple[bool, str]:
    decision = decisions.decide(Question(organization, "ai_studio", **more), team.actor).decision
    return decision.allowed, decision.reason


def previewed(team: Team, *wishes: tuple[str, ...]) -> BulkJob:
    numbered = [Rebinding(n, *wish) for n, wish in enumerate(wishes, start=1)]
    return actions.preview_rebind(wishes=numbered, actor=team.actor, source="admin", reason="Merged")


def done(team: Team, job: BulkJob) -> BulkJob:
    job = engine.run(engine.claim(team.queued(job)))
    assert job.status == BulkJob.Status.DONE
    assert verification.verify().problems == []
    return job


def out(team: Team, organization: Organization) -> None:
    choices.choose(
        surface=AI_STUDIO_CONSOLE, organization=organization, choice="opted_out", actor=team.actor, source="admin"
    )


# --- What a rebinding does -------------------------------------------------------------------------------------------


def test_rebind__approved__means_the_other_from_then_on_and_undone_again_from_then_on(team: Team) -> None:
    acme, other = make(team, "acct-1"), make(team)
    out(team, acme)
    before = ledger.clock()
    job = previewed(team, ("acct-1", str(other.pk)))
    assert (job.loosens, job.preview, job.matched) == (True, {"change": 1}, 1)
    assert asked(team, "external:acct-1") == (False, "organization_opted_out")
    with pytest.raises(Forbidden):
        actions.approve(job=actions.submit(job=job, actor=team.actor, digest=job.digest), actor=team.actor)
    job = engine.run(engine.claim(actions.approve(job=job, actor=team.other)))
    assert (job.status, job.changed) == ("done", 1)
    assert asked(team, "external:acct-1") == (True, "plan_default")
    assert asked(team, "external:acct-1", collected_at=before) == (False, "collected_before_allowed")
    assert asked(team, "external:acct-1", collected_at=before, at=before) == (False, "organization_opted_out")
    acme.refresh_from_db(), other.refresh_from_db()
    assert (acme.external_id, other.external_id) == (None, "acct-1")
    first, second = Binding.objects.order_by("number")
    told = ConsentEvent.objects.filter(job_id=job.pk).order_by("pk")
    assert list(told.values_list("kind", "organization", "before", "after", "reason")) == [
        ("external_id.withdrawn", acme.pk, str(first.pk), "", "Merged"),
        ("external_id.rebound", other.pk, str(first.pk), str(second.pk), "Merged"),
    ]
    between = ledger.clock()
    undo = done(team, actions.preview_undo(job=job, actor=team.actor, source="admin", reason="Wrong one"))
    assert (undo.kind, undo.undoes_id, undo.changed) == ("rebind", job.pk, 1)
    assert asked(team, "external:acct-1") == (False, "organization_opted_out")
    assert asked(team, "external:acct-1", at=between, collected_at=between) == (True, "plan_default")
    choices.choose(
        surface=AI_STUDIO_CONSOLE,
        organization=acme,
        choice="opted_in",
        actor=team.actor,
        source="admin",
        reason="R",
        version_required=False,
    )
    assert asked(team, "external:acct-1", collected_at=between) == (False, "collected_before_allowed")


def test_rebind__withdrawn_id__undone_means_nobody(team: Team) -> None:
    acme, other = make(team, "acct-1"), make(team)
    organizations.update_organization(organization=acme, external_id=None, actor=team.actor, source="admin")
    job = done(team, previewed(team, ("acct-1", str(other.pk)), ("new-1", f"external:{other.pk}"[9:])))
    assert asked(team, "external:acct-1") == asked(team, "external:new-1") == (True, "plan_default")
    undo = done(team, actions.preview_undo(job=job, actor=team.actor, source="admin", reason="Wrong"))
    assert asked(team, "external:acct-1") == asked(team, "external:new-1") == (False, "unknown_organization")
    done(team, actions.preview_undo(job=undo, actor=team.actor, source="admin", reason="Right after all"))
    assert asked(team, "external:acct-1") == (True, "plan_default")


def test_rebind__of_members__within_their_organization(team: Team) -> None:
    acme = make(team, "acct-1")
    by: dict[str, Any] = {"actor": team.actor, "source": "admin"}
    ada = members.add_member(organization=acme, email="ada@acme.example", external_id="m-1", **by)
    bo = members.add_member(organization=acme, email="bo@acme.example", external_id="m-2", **by)
    choices.choose(surface=LE_CHAT_MOBILE, organization=acme, member=ada, choice="opted_out", **by)
    done(team, previewed(team, ("m-1", "external:acct-1", "external:m-2")))
    assert Member.objects.get(pk=bo.pk).external_id == "m-1"
    named = {ident: acme.members.identified_by(f"external:{ident}").get() for ident in ("m-1", "m-2")}
    assert named == {"m-1": bo, "m-2": bo}
    assert Member.objects.get(pk=ada.pk).external_id is None


def test_rebind__undone_for_a_member_who_has_left_since__means_nobody(team: Team) -> None:
    acme = make(team, "acct-1")
    by: dict[str, Any] = {"actor": team.actor, "source": "admin"}
    ada = members.add_member(organization=acme, email="ada@acme.example", **by)
    job = done(team, previewed(team, ("m-9", "external:acct-1", str(ada.pk))))
    members.remove_member(member=ada, **by)
    undo = actions.preview_undo(job=job, actor=team.actor, source="admin", reason="Wrong")
    assert undo.preview == {"change": 1}
    done(team, undo)
    assert not acme.members.identified_by("external:m-9").exists()


@pytest.mark.parametrize("opted_out", [True, False])
def test_rebind__contested_id__takes_the_opt_outs_of_all_who_had_it_along(opted_out: bool, team: Team) -> None:
    first, second, third = make(team, "acct-1"), make(team), make(team)
    at = ledger.clock()
    shared = {"recorded_at": at, "since": at, "withdrawn_at": at, "contested": True, "spelled": "acct-1"}
    Binding.objects.update(**shared)
    Organization.objects.filter(pk=first.pk).update(external_id=None)
    Binding.objects.create(organization=second, value="acct-1", number=2, **shared)
    if opted_out:
        out(team, second)
    done(team, previewed(team, ("acct-1", str(third.pk))))
    assert asked(team, "external:acct-1") == (
        (False, "organization_opted_out") if opted_out else (True, "plan_default")
    )


# --- What a row can meet ---------------------------------------------------------------------------------------------


def test_rebind__id_got_another_meaning_since__that_row_alone_is_refused(team: Team) -> None:
    acme, other, third = make(team, "acct-1"), make(team, "acct-2"), make(team)
    job = previewed(team, ("acct-1", str(third.pk)), ("acct-2", str(third.pk)), ("acct-2", str(third.pk)))
    job = actions.approve(job=actions.submit(job=job, actor=team.actor, digest=job.digest), actor=team.other)
    organizations.update_organization(organization=acme, external_id=None, actor=team.actor, source="admin")
    organizations.update_organization(organization=acme, external_id="acct-1", actor=team.actor, source="admin")
    job = engine.run(engine.claim(job))
    assert (job.changed, job.refused, job.refusals) == (1, 1, {"changed_since": 1})
    assert asked(team, "external:acct-1") == (True, "plan_default")
    assert Organization.objects.identified_by("external:acct-1").get() == acme
    assert Organization.objects.identified_by("external:acct-2").get() == third
    assert [row.refusal for row in reports.listed_rows(job, refused=True)] == ["changed_since"]
    assert Organization.objects.get(pk=other.pk).external_id is None


def test_submit__ids_have_changed_since_the_preview__refused(team: Team) -> None:
    acme, other = make(team, "acct-1"), make(team)
    job = previewed(team, ("acct-1", str(other.pk)))
    organizations.update_organization(organization=acme, external_id=None, actor=team.actor, source="admin")
    organizations.update_organization(organization=acme, external_id="acct-1", actor=team.actor, source="admin")
    with pytest.raises(Refused) as error:
        actions.submit(job=job, actor=team.actor, digest=job.digest)
    assert error.value.code == "drifted"


def test_rebind__already_so__same_and_no_event(team: Team) -> None:
    acme = make(team, "acct-1")
    job = previewed(team, ("acct-1", str(acme.pk)))
    assert job.preview == {"same": 1}
    events = ConsentEvent.objects.count()
    assert done(team, job).unchanged == 1
    assert ConsentEvent.objects.count() == events


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (("acct-\u200b1", "{other}"), "U+200B"),
        (("", "{other}"), "It is empty"),
        (("acct-1", "external:nobody"), "no organization"),
        (("acct-1", ""), "no organization"),
        (("acct-1", "{other}", "external:nobody"), "no member"),
    ],
)
def test_preview__row_that_cannot_be_meant__bad_and_nothing_is_kept(
    wish: tuple[str, ...], told: str, team: Team
) -> None:
    make(team, "acct-1")
    other = make(team)
    before = everything()
    with pytest.raises(BadList) as error:
        previewed(team, ("acct-1", str(other.pk)), tuple(part.format(other=other.pk) for part in wish))
    assert told in error.value.problems[0] and error.value.problems[0].startswith("row 2")
    assert everything() == before


def test_preview__id_for_two__bad(team: Team) -> None:
    acme, other = make(team, "acct-1"), make(team)
    with pytest.raises(BadList) as error:
        previewed(team, ("acct-1", str(other.pk)), ('"acct-1"', str(acme.pk)))
    assert "appears earlier in the file" in error.value.problems[0]


def test_preview__row_twice_pages_apart__is_one(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebinding, "_PAGE", 2)
    make(team, "acct-1")
    other = str(make(team).pk)
    job = previewed(team, ("acct-1", other), ("new-1", other), ("acct-1", other), ("new-2", other), ("new-1", other))
    assert (job.matched, job.preview) == (3, {"change": 3})
    assert done(team, job).changed == 3


def test_preview__without_a_reason__invalid(team: Team) -> None:
    with pytest.raises(Invalid):
        actions.preview_rebind(wishes=[], actor=team.actor, source="admin", reason=" ")


def test_sample_and_rows__say_whom_the_id_means_now_and_then(team: Team, tmp_path: Path) -> None:
    make(team, "acct-1")
    other = make(team, "acct-2")
    job = previewed(team, ("acct-1", str(other.pk)))
    (found,) = reports.sample(job)
    assert (found.external_id, found.before, found.after, found.organization) == (
        "acct-1", "Hall acct-1", "Hall acct-2", str(other.pk),
    )  # fmt: skip
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        reports.write_rows(job, file, "csv", refused=False)
    again = list(RebindFile(str(tmp_path / "rows.csv")))
    assert again == [Rebinding(2, "acct-1", str(other.pk), "")] or again == [Rebinding(1, "acct-1", str(other.pk), "")]


def test_read_file__own_export__what_was_withdrawn_is_not_given_again(team: Team, tmp_path: Path) -> None:
    organization = make(team, "acct-1")
    by: dict[str, Any] = {"organization": organization, "actor": team.actor, "source": "admin"}
    organizations.update_organization(external_id="acct-2", **by)
    external_ids.withdraw_external_id(external_id="acct-1", reason="Gone", **by)
    path = tmp_path / "ids.csv"
    assert run("export", "external_ids", str(path)).code == 0
    one, two = RebindFile(str(path))
    assert isinstance(one, ListError) and "row 2, column withdrawn_at" in one.text
    assert two == Rebinding(3, "acct-2", str(organization.pk))


def test_rebind__killed_between_chunks__goes_on_at_its_mark(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FIRST", 2)
    other = make(team)
    for n in range(5):
        make(team, f"a-{n}")
    job = engine.claim(team.queued(previewed(team, *((f"a-{n}", str(other.pk)) for n in range(5)))))
    job = engine._chunk(job, 2)
    assert job.cursor == 2
    BulkJob.objects.update(leased_until=ledger.clock() - dt.timedelta(minutes=1))
    job = engine.run(engine.claim(job))
    assert (job.status, job.changed) == ("done", 5)
    assert Binding.objects.live().filter(organization=other).count() == 5
    assert verification.verify().problems == []


@pytest.mark.parametrize("already", [True, False])
@pytest.mark.parametrize("opted_out", [True, False])
def test_rebind__contested_id_of_members__takes_their_opt_outs_along(
    opted_out: bool, already: bool, team: Team
) -> None:
    acme = make(team, "acct-1")
    by: dict[str, Any] = {"organization": acme, "actor": team.actor, "source": "admin"}
    first, second, third = (members.add_member(email=f"{n}@acme.example", **by) for n in range(3))
    at = ledger.clock()
    shared = {"recorded_at": at, "since": at, "withdrawn_at": at, "contested": True, "spelled": "m-1"}
    for number, each in enumerate((first, second), start=1):
        Binding.objects.create(organization=acme, member=each, value="m-1", number=number, **shared)
    for each in [second] * opted_out + [third] * already:
        choices.choose(surface=LE_CHAT_MOBILE, member=each, choice="opted_out", **by)
    events = ConsentEvent.objects.filter(member=third.pk, product="le_chat").count()
    done(team, previewed(team, ("m-1", "external:acct-1", str(third.pk))))
    own = PrivacySetting.objects.of_members().filter(member=third, choice="opted_out")
    assert own.exists() == (opted_out or already)
    # An opt-out that is there already is not made again.
    made = ConsentEvent.objects.filter(member=third.pk, product="le_chat").count() - events
    assert made == (opted_out and not already)
    assert acme.members.identified_by("external:m-1").get() == third


def test_rebind__member_has_left_since_the_preview__row_refused(team: Team) -> None:
    acme = make(team, "acct-1")
    by: dict[str, Any] = {"actor": team.actor, "source": "admin"}
    ada, bo = (members.add_member(organization=acme, email=f"{n}@acme.example", **by) for n in ("ada", "bo"))
    job = team.queued(previewed(team, ("m-1", "external:acct-1", str(ada.pk)), ("m-2", "external:acct-1", str(bo.pk))))
    members.remove_member(member=ada, **by)
    job = engine.run(engine.claim(job))
    assert (job.changed, job.refused, job.refusals) == (1, 1, {rebinding.LEFT: 1})
    assert not acme.members.identified_by("external:m-1").exists()
    assert acme.members.identified_by("external:m-2").get() == bo
