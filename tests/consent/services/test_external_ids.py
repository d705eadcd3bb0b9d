"""R16: an external id means one subject for good; withdrawn, nobody. Only an approved job gives it to another one."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from accounts.access import Actor, Forbidden, NotFound
from accounts.models import Binding, Member, Organization
from consent import decisions, ledger, verification
from consent.errors import Invalid, Refused
from consent.lookups import Question
from consent.models import ConsentEvent
from consent.services import choices, external_ids, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_MOBILE
from tests.support.callers import by_key, by_session
from tests.support.cast import Cast
from tests.support.ledger_guards import everything

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]


def make(cast: Cast, external_id: str | None, plan: str = "le_chat_free") -> Organization:
    draft = OrganizationDraft(name="Acme", external_id=external_id, subscriptions=[plans.get_plan(plan)])
    return organizations.create_organization(draft=draft, actor=cast.provider, source="api")


def change(cast: Cast, organization: Organization, external_id: str | None) -> Organization:
    return organizations.update_organization(
        organization=organization, external_id=external_id, actor=cast.provider, source="api"
    )


def asked(cast: Cast, organization: str, **more: Any) -> tuple[bool, str]:
    question = Question(organization=organization, product="ai_studio", **more)
    decision = decisions.decide(question, cast.provider).decision
    many = decisions.decide_many([question, question], cast.provider).decisions
    assert {(each.allowed, each.reason) for each in many} == {(decision.allowed, decision.reason)}
    return decision.allowed, decision.reason


# --- Nobody is used against their word -------------------------------------------------------------------------------


def test_organization__opted_out_then_its_id_given_to_another__refused_and_denied_now_and_then(cast: Cast) -> None:
    acme, other = make(cast, "acct-1", "ai_studio_experiment"), make(cast, None, "ai_studio_experiment")
    allowed_at = ledger.clock()
    choices.choose(surface=AI_STUDIO_CONSOLE, organization=acme, choice="opted_out", actor=cast.provider, source="api")
    collected, at = ledger.clock(), ledger.clock()
    api = by_key("organizations:write")
    assert asked(cast, "external:acct-1", collected_at=collected) == (False, "organization_opted_out")
    assert api.patch(f"organizations/{acme.pk}/", {"external_id": None}).status_code == 200
    before = everything()
    answer = api.patch(f"organizations/{other.pk}/", {"external_id": "acct-1"})
    assert answer.status_code == 409
    assert "rebind" in answer.json()["detail"]
    assert answer.json()["errors"][0]["pointer"] == "#/external_id"
    assert everything() == before
    assert asked(cast, "external:acct-1", collected_at=collected) == (False, "unknown_organization")
    assert asked(cast, "external:acct-1", collected_at=collected, at=at) == (False, "organization_opted_out")
    assert asked(cast, "external:acct-1", collected_at=allowed_at, at=allowed_at) == (True, "plan_default")
    answer = api.post("organizations/", {"name": "Twin", "kind": "team", "external_id": " acct-1"})
    assert answer.status_code == 409
    assert everything() == before
    assert verification.verify().problems == []


def test_member__opted_out_then_their_id_given_to_another__refused_and_denied_now_and_then(cast: Cast) -> None:
    api = by_key("organizations:write")
    path = f"organizations/{cast.labs.pk}/members"
    first, second = Member.objects.filter(organization=cast.labs).order_by("pk")[:2]
    assert api.patch(f"{path}/{first.pk}/", {"external_id": "ada"}).status_code == 200
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=cast.labs, member=first, choice="opted_out", actor=cast.provider,
        source="api",
    )  # fmt: skip
    at = ledger.clock()
    question = {"organization": str(cast.labs.pk), "member": "external:ada", "product": "le_chat", "collected_at": at}
    assert decide(cast, **question) == (False, "member_opted_out")
    assert api.patch(f"{path}/{first.pk}/", {"external_id": None}).status_code == 200
    before = everything()
    for answer in (
        api.patch(f"{path}/{second.pk}/", {"external_id": "ada"}),
        api.post(f"{path}/", {"email": "new@kvasir.example", "name": "", "role": "member", "external_id": '"ada"'}),
    ):
        assert answer.status_code == 409
        assert "rebind" in answer.json()["detail"]
    assert everything() == before
    assert decide(cast, **question) == (False, "unknown_member")
    assert decide(cast, **question, at=at) == (False, "member_opted_out")
    # Of another organization it is another's.
    eli = Member.objects.get(organization=cast.brage)
    assert api.patch(f"organizations/{cast.brage.pk}/members/{eli.pk}/", {"external_id": "ada"}).status_code == 200
    assert verification.verify().problems == []


def decide(cast: Cast, **question: Any) -> tuple[bool, str]:
    decision = decisions.decide(Question(**question), cast.provider).decision
    return decision.allowed, decision.reason


# --- Dated -----------------------------------------------------------------------------------------------------------


def test_ids__several__mean_one_subject_each_from_when_it_was_given(cast: Cast) -> None:
    acme = make(cast, "acct-1", "ai_studio_experiment")
    before = ledger.clock()
    change(cast, acme, "acct-2")
    after = ledger.clock()
    assert asked(cast, "external:acct-1", collected_at=before) == (True, "plan_default")
    assert asked(cast, "external:acct-2", collected_at=before) == (False, "collected_before_allowed")
    assert asked(cast, "external:acct-2", collected_at=after) == (True, "plan_default")
    assert asked(cast, str(acme.pk), collected_at=before) == (True, "plan_default")
    assert asked(cast, "external:acct-2", at=before) == (False, "unknown_organization")
    assert asked(cast, "external:acct-1", at=before) == (True, "plan_default")
    assert Organization.objects.get(pk=acme.pk).external_id == "acct-2"
    for ident in ("external:acct-1", "external:acct-2"):
        assert Organization.objects.identified_by(ident).get() == acme
    change(cast, acme, "acct-1")  # shown again: it has meant Acme all along
    assert asked(cast, "external:acct-1", collected_at=before) == (True, "plan_default")
    assert Binding.objects.count() == 2
    assert verification.verify().problems == []


def test_id__withdrawn_and_given_again__means_its_own_subject_from_then_on(cast: Cast) -> None:
    acme = make(cast, "acct-1", "ai_studio_experiment")
    before = ledger.clock()
    change(cast, acme, None)
    change(cast, acme, "acct-1")
    assert asked(cast, "external:acct-1", collected_at=before) == (False, "collected_before_allowed")
    assert asked(cast, "external:acct-1", at=before, collected_at=before) == (True, "plan_default")
    assert asked(cast, "external:acct-1") == (True, "plan_default")
    first, second = Binding.objects.order_by("number")
    kinds = ConsentEvent.objects.filter(kind__startswith="external_id.").order_by("pk")
    assert list(kinds.values_list("kind", "before", "after")) == [
        ("external_id.withdrawn", str(first.pk), ""),
        ("external_id.given", "", str(second.pk)),
    ]
    assert verification.verify().problems == []


@pytest.mark.parametrize("spelling", [" acct-é", '"acct-é"', "acct-e\u0301", "“acct-é”"])
def test_id__however_spelled__is_one(cast: Cast, spelling: str) -> None:
    acme = make(cast, spelling, "ai_studio_experiment")
    assert acme.external_id == "acct-é"
    assert asked(cast, f"external:{spelling}") == (True, "plan_default")
    with pytest.raises(Refused):
        make(cast, "acct-é")


@pytest.mark.parametrize("text", ["kv\u200b100", "kv-100\u00ad", "\ue000", "a\u0378", "a\u00a0b"])
def test_id__with_what_cannot_be_seen__400_names_the_code_point(cast: Cast, text: str) -> None:
    api = by_key("organizations:write")
    before = everything()
    answer = api.post("organizations/", {"name": "A", "kind": "team", "external_id": text})
    assert answer.status_code == 400
    unseen = next(each for each in text if not each.isascii())
    assert f"U+{ord(unseen):04X}" in answer.json()["detail"]
    assert everything() == before


# --- Withdrawing -----------------------------------------------------------------------------------------------------


def test_delete__by_operators_with_a_reason__means_nobody_and_says_so(cast: Cast) -> None:
    acme = make(cast, "acct-1", "ai_studio_experiment")
    change(cast, acme, "acct-2")
    api, path = by_key("organizations:write"), f"organizations/{acme.pk}/external-ids/acct-1/"
    stranger = by_session(cast.owner)
    refusals = [
        (api, {}, 400),
        (api, {"reason": " "}, 400),
        (by_key("organizations:read"), {"reason": "Mistake"}, 403),
        (stranger, {"reason": "Mistake"}, 404),
    ]
    before = everything()
    for caller, body, status in refusals:
        assert caller.delete(path, body).status_code == status
        assert everything() == before
    assert api.delete(f"organizations/{acme.pk}/external-ids/other/", {"reason": "Mistake"}).status_code == 404
    assert everything() == before
    assert api.delete(path, {"reason": "Mistake"}).status_code == 204
    event = ConsentEvent.objects.order_by("-pk").first()
    assert event is not None
    first = Binding.objects.get(value="acct-1")
    assert (event.kind, event.reason, event.before, event.after) == (
        "external_id.withdrawn", "Mistake", str(first.pk), "",
    )  # fmt: skip
    assert asked(cast, "external:acct-1") == (False, "unknown_organization")
    assert asked(cast, "external:acct-2") == (True, "plan_default")
    before = everything()
    assert api.delete(path, {"reason": "Again"}).status_code == 204
    assert everything() == before
    assert verification.verify().problems == []


def test_withdraw__of_somebody_else__not_found(cast: Cast) -> None:
    make(cast, "acct-1")
    before = everything()
    with pytest.raises(NotFound):
        external_ids.withdraw_external_id(
            organization=cast.labs, external_id="acct-1", actor=cast.provider, source="api", reason="Mistake"
        )
    assert everything() == before


GIVE: list[Callable[[Cast, Actor], object]] = [
    lambda cast, actor: organizations.update_organization(
        organization=cast.labs, external_id="x", actor=actor, source="api"
    ),
    lambda cast, actor: members.update_member(member=cast.labs_member, external_id="x", actor=actor, source="api"),
    lambda cast, actor: external_ids.withdraw_external_id(
        organization=cast.labs, external_id="labs", actor=actor, source="api", reason="R"
    ),
]


@pytest.mark.parametrize("act", GIVE)
@pytest.mark.parametrize("who", ["owner", "admin"])
def test_ids__of_the_organizations_own_people__forbidden(act: Callable[..., object], who: str, cast: Cast) -> None:
    change(cast, cast.labs, "labs")
    before = everything()
    with pytest.raises(Forbidden):
        act(cast, Actor.from_user(getattr(cast, who)))
    assert everything() == before


# --- Explained -------------------------------------------------------------------------------------------------------


def test_explain__asked_by_external_ids__their_layer_with_the_later_start_and_its_event(cast: Cast) -> None:
    change(cast, cast.labs, "labs")
    members.update_member(member=cast.labs_member, external_id="dag", actor=cast.provider, source="api")
    given = ConsentEvent.objects.get(kind="external_id.given", member=cast.labs_member)
    question = {"organization": "external:labs", "member": "external:dag", "product": "le_chat"}
    answer = by_key("decisions:read").post("decisions/?explain=true", question).json()
    layer = answer["layers"][-1]
    assert (layer["layer"], layer["allowed"], layer["reason"]) == ("external_id", True, "external_id")
    assert (layer["event"], dt.datetime.fromisoformat(layer["since"])) == (str(given.pk), given.recorded_at)
    answer = by_key("decisions:read").post(
        "decisions/?explain=true", {**question, "organization": str(cast.labs.pk), "member": str(cast.labs_member.pk)}
    )
    assert [each["layer"] for each in answer.json()["layers"]] == ["organization", "member"]


# --- The table -------------------------------------------------------------------------------------------------------


def test_verify__bindings_changed_behind_its_back__named(cast: Cast) -> None:
    acme = make(cast, "acct-1")
    change(cast, acme, None)
    change(cast, acme, "acct-2")
    assert verification.verify().problems == []
    Binding.objects.filter(value="acct-1").update(withdrawn_at=None)
    assert any("no event" in each or "withdraws" in each for each in verification.verify().problems)


def test_invalid__slash_or_too_long_or_another_in_an_address__refused(cast: Cast) -> None:
    for text in ("a/b", "x" * 201, ".", "..", " '..' ", "external:acct-1", "External: acct-1"):
        with pytest.raises(Invalid):
            make(cast, text)
