"""Erasing a person: their external ids are stored nowhere, mean nobody, and can't be given to others (R16)."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.access import Actor
from accounts.models import Binding, Member, Organization, User
from consent import decisions, verification
from consent.errors import Refused
from consent.imports import reading
from consent.imports.fields import ImportPlan
from consent.jobs import actions, engine
from consent.jobs.rebind_files import Rebinding
from consent.jobs.selection import Selection
from consent.lookups import Question
from consent.models import BulkJob, ImportRow, RebindRow
from consent.services import erasure, members, organizations
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.cast import Cast
from tests.support.factories import ImportProblemFactory, UserFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import refusal

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
EMAIL, NAME = "canary-7f3a@feathers.example", "Canária Gelbvogel"
OWN, AS_MEMBER = "canary-7f3a/2".replace("/", "."), "Gelbvogel-é"
WORDS = ("canary-7f3a", "canária", "can\\u00e1ria", "gelbvogel")


@pytest.fixture(autouse=True)
def person_with_ids(cast: Cast) -> None:
    person = UserFactory(email=EMAIL, name=NAME)
    by: dict[str, Any] = {"actor": cast.provider, "source": "admin"}
    members.add_member(organization=cast.labs, email=EMAIL, role="member", external_id=AS_MEMBER, **by)
    draft = OrganizationDraft(name=NAME, kind="personal", external_id=OWN, owner=(EMAIL, person.name))
    organizations.create_organization(draft=draft, **by)


def queued(cast: Cast, job: BulkJob) -> BulkJob:
    second = User.objects.filter(email="frigg@provider.example").first()
    second = second or UserFactory(email="frigg@provider.example", name="Frigg Dahl", operator=True)
    job = actions.submit(job=job, actor=cast.provider, digest=job.digest)
    if job.status == BulkJob.Status.AWAITING_APPROVAL:
        job = actions.approve(job=job, actor=Actor.from_user(second, confirmed=True))
    return job


def finished(cast: Cast, job: BulkJob) -> BulkJob:
    return engine.run(engine.claim(queued(cast, job)))


def erase(cast: Cast) -> None:
    erasure.erase_person(person=erasure.find_person(EMAIL), actor=cast.provider)
    assert verification.verify().problems == []


def dump() -> str:
    """Every row of every table, as text."""
    text = ""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            text += str(cursor.fetchall())
    return text.casefold().replace("\\\\", "\\")


def rebind(cast: Cast, *wishes: tuple[str, ...]) -> BulkJob:
    numbered = [Rebinding(n, *wish) for n, wish in enumerate(wishes, start=1)]
    return actions.preview_rebind(wishes=numbered, actor=cast.provider, source="admin", reason="Merged")


def test_erase__ids_in_jobs_selections_and_stored_answers__nowhere_any_more(cast: Cast) -> None:
    labs, own = str(cast.labs.pk), Organization.objects.get(external_id=OWN)
    other = organizations.create_organization(draft=OrganizationDraft(name="O"), actor=cast.provider, source="admin")
    done = finished(cast, rebind(cast, ("gelbvogel-old", str(own.pk))))
    assert done.changed == 1
    rebind(cast, (OWN, str(other.pk)), (AS_MEMBER, labs, str(cast.labs_member.pk)), (EMAIL, str(other.pk)))
    selected = actions.preview_choice(
        surface=LE_CHAT_CONSOLE, choice="opted_out", selection=Selection(organizations=(f"external:{OWN}",)),
        actor=cast.provider, source="admin",
    )  # fmt: skip
    ImportProblemFactory(
        job=done, line=1, value=f"external:{OWN}", remedy=f"It has the external id “{AS_MEMBER}”. Left as it is."
    )
    _key, text = issue_key("billing", ["organizations:write", "organizations:read"], issued_by=cast.operator)
    for n, (subject, external_id) in enumerate([(own, OWN), (other, "none-of-hers"), (own, "canária-2")]):
        caller = Client(HTTP_AUTHORIZATION=f"Bearer {text}", HTTP_IDEMPOTENCY_KEY=f"k-{n}")
        body = json.dumps({"external_id": external_id})
        path = f"/api/v1/organizations/{subject.pk}/"
        assert caller.patch(path, body, content_type="application/json").status_code == 200
    assert all(word in dump() for word in ("canary-7f3a", "gelbvogel")), "the canary sings before"
    assert "canária" in dump() or "can\\u00e1ria" in dump()
    erase(cast)
    assert [word for word in WORDS if word in dump()] == []
    assert "none-of-hers" in dump()
    selected.refresh_from_db()
    assert selected.selection == {"organizations": [str(own.pk)]}


@pytest.mark.parametrize("scope", ["organization", "member"])
def test_erase__the_id_afterwards__means_nobody_and_is_refused_to_others(scope: str, cast: Cast) -> None:
    erase(cast)
    by: dict[str, Any] = {"actor": cast.provider, "source": "admin"}
    asked = {
        "organization": Question(f"external:{OWN}", "le_chat"),
        "member": Question(str(cast.labs.pk), "le_chat", f"external:{AS_MEMBER}"),
    }[scope]
    assert decisions.decide(asked, cast.provider).decision.reason == f"unknown_{scope}"
    with refusal(Refused, "exists", "external_id"):
        if scope == "organization":
            organizations.update_organization(organization=cast.brage, external_id=f" {OWN}", **by)
        else:
            members.update_member(member=cast.labs_member, external_id=f'"{AS_MEMBER}"', **by)


def test_rebind__id_erased_before_it_ran__row_refused_and_nothing_is_undone_of_it(cast: Cast) -> None:
    waiting = rebind(cast, (OWN, str(cast.labs.pk)), ("new-1", str(cast.labs.pk)))
    waiting = queued(cast, waiting)
    done = finished(cast, rebind(cast, (AS_MEMBER, str(cast.labs.pk), str(cast.labs_member.pk))))
    assert done.changed == 1
    erase(cast)
    waiting = engine.run(engine.claim(waiting))
    assert (waiting.status, waiting.changed, waiting.refusals) == ("done", 1, {"changed_since": 1})
    # What the job had given stays with whom it means now: it names the member of another name no less.
    undo = actions.preview_undo(job=waiting, actor=cast.provider, source="admin", reason="Wrong")
    assert list(RebindRow.objects.filter(job=undo).values_list("external_id", flat=True)) == ["new-1"]
    assert not Binding.objects.filter(value="", withdrawn_at=None).exists()
    assert verification.verify().problems == []


def staged(cast: Cast, tmp_path: Any, table: str, text: str, **plan: Any) -> BulkJob:
    path = tmp_path / "f.csv"
    path.write_text(text)
    columns = {name: name for name in text.splitlines()[0].split(",")}
    job = reading.prepare(
        plan=ImportPlan(table, columns, **plan), actor=cast.provider, source="command", name="f.csv", reason="R"
    )
    assert reading.take(job)
    return reading.read(job, str(path))


@pytest.mark.parametrize("table", ["organizations", "members"])
def test_import__id_given_and_erased_between_reading_and_running__row_refused(
    table: str, cast: Cast, tmp_path: Any
) -> None:
    by: dict[str, Any] = {"actor": cast.provider, "source": "admin"}
    erase(cast)
    if table == "organizations":
        job = staged(cast, tmp_path, table, "name,external_id\nTwo,canary-9\nNew,n-9\n", plans=("le_chat_free",))
    else:
        labs = str(cast.labs.pk)
        text = f"organization,email,external_id\n{labs},x@kvasir.example,canary-9\n{labs},y@kvasir.example,n-9\n"
        job = staged(cast, tmp_path, table, text)
    assert job.preview["change"] == 2
    # The same id is given to somebody whose name it is, who is erased at once.
    again = UserFactory(email="canary-9@feathers.example", name="Else")
    ImportRow.objects.filter(external_id="canary-9").update(external_id="held-back")
    if table == "organizations":
        draft = OrganizationDraft(name="P", kind="personal", external_id="canary-9", owner=(again.email, "Else"))
        organizations.create_organization(draft=draft, **by)
    else:
        members.add_member(organization=cast.labs, email=again.email, external_id="canary-9", **by)
    erasure.erase_person(person=again, actor=cast.provider)
    ImportRow.objects.filter(external_id="held-back").update(external_id="canary-9")
    job = finished(cast, job)
    assert (job.status, job.changed, job.refused) == ("done", 1, 1)
    model = Organization if table == "organizations" else Member
    assert not model._default_manager.filter(external_id="canary-9").exists()
    assert model._default_manager.filter(external_id="n-9").exists()
    assert not Binding.objects.filter(value="canary-9").exists()
    assert verification.verify().problems == []


def test_erase__while_a_file_names_their_id__refused(cast: Cast, tmp_path: Any) -> None:
    draft = OrganizationDraft(name="Third")
    third = organizations.create_organization(draft=draft, actor=cast.provider, source="admin")
    text = f"organization,email,external_id\n{third.pk},x@kvasir.example,{AS_MEMBER}\n"
    job = staged(cast, tmp_path, "members", text)
    assert job.preview["change"] == 1
    with refusal(Refused, "importing"):
        erasure.erase_person(person=erasure.find_person(EMAIL), actor=cast.provider)
    reading.discard(job)
    erase(cast)
