"""The operators' site: who has access, and that each change goes through a service, with its events and no others."""

import uuid

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.models import Member, Organization, User
from consent.models import EventKind, Lock
from consent.services import organizations
from consent.services.organizations import OrganizationDraft
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.asking import confirm
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member
from tests.support.operators_site import (
    MODELS,
    POLICY,
    READ_ONLY,
    by_operator,
    events_after,
    last_event,
    organization_url,
    setting,
    url,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


# --- Who gets in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["index", "why", "wordings", *(f"{model}_changelist" for model in MODELS)])
def test_page__nobody_signed_in__sent_to_sign_in(name: str, client: Client) -> None:
    response = client.get(url(name))
    assert response.status_code == 302
    assert response.url == f"{reverse('account_login')}?next={url(name)}"


@pytest.mark.parametrize("person", ["owner", "admin", "auditor", "member", "outsider"])
@pytest.mark.parametrize("name", ["index", "why", "wordings", *(f"{model}_changelist" for model in MODELS)])
def test_page__not_an_operator__forbidden(name: str, person: str, cast: Cast, client: Client) -> None:
    client.force_login(getattr(cast, person))
    assert client.get(url(name)).status_code == 403


@pytest.mark.parametrize("person", ["owner", "outsider"])
def test_setting__posted_by_no_operator__forbidden_and_unchanged(person: str, cast: Cast, client: Client) -> None:
    client.force_login(getattr(cast, person))
    last = last_event()
    response = client.post(organization_url(cast, "setting", LE_CHAT_CONSOLE.key), {"choice": "opted_out"})
    assert response.status_code == 403
    assert events_after(last) == []


def test_page__operator_deactivated__out_at_once(cast: Cast, operator: Client) -> None:
    User.objects.filter(pk=cast.operator.pk).update(is_active=False)
    assert operator.get(url("index")).status_code == 302


def test_login__own_form__is_the_portals(client: Client) -> None:
    response = client.get(url("login"))
    assert (response.status_code, response.url) == (302, f"{reverse('account_login')}?next={url('index')}")


@pytest.mark.parametrize("model", MODELS)
def test_list__operator__opens_under_the_policy(model: str, operator: Client) -> None:
    response = operator.get(url(f"{model}_changelist"))
    assert response.status_code == 200
    assert POLICY in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    text = response.content.decode()
    assert "<style" not in text and "<script>" not in text and " style=" not in text and " onclick" not in text


@pytest.mark.parametrize("model", MODELS)
def test_delete__any_model__has_no_url_and_no_action(model: str, operator: Client) -> None:
    with pytest.raises(NoReverseMatch):
        url(f"{model}_delete", "1")
    assert b"delete_selected" not in operator.get(url(f"{model}_changelist")).content


# --- What is only looked at -------------------------------------------------------------------------------------------


def row_of(model: str, cast: Cast) -> object:
    rows = {
        "accounts_subscription": cast.labs.subscriptions.first().pk,
        "consent_privacysetting": setting(cast).pk,
        "consent_consentevent": last_event(),
        "consent_lock": Lock.objects.get_or_create(
            organization=cast.brage, product="le_chat", reason="r", reference="r", placed_at=cast.brage.created_at
        )[0].pk,
    }
    return rows[model]


@pytest.mark.parametrize("model", READ_ONLY)
def test_row__read_only__opens_and_refuses_every_change(model: str, cast: Cast, operator: Client) -> None:
    pk, last = row_of(model, cast), last_event()
    page = url(f"{model}_change", pk)
    assert operator.get(page).status_code == 200
    assert operator.post(page, {"kind": "choice.opted_in", "reason": "x"}).status_code == 403
    assert operator.get(url(f"{model}_add")).status_code == 403
    assert operator.post(url(f"{model}_add"), {}).status_code == 403
    assert events_after(last) == []


@pytest.mark.parametrize(
    ("term", "found"), [("labs", 1), ("nobody", 0), ("event", 1), ("12345678901234567890123", 0), ("external:x", 0)]
)
def test_ledger__searched__finds_exactly(term: str, found: int, cast: Cast, operator: Client) -> None:
    asked = {"labs": str(cast.labs.pk), "event": str(last_event())}.get(term, term)
    response = operator.get(url("consent_consentevent_changelist"), {"q": asked})
    assert response.status_code == 200
    assert bool(response.context["cl"].result_count) == bool(found)


# --- Settings ---------------------------------------------------------------------------------------------------------


def test_setting__opted_out__writes_one_event(cast: Cast, operator: Client) -> None:
    last = last_event()
    response = operator.post(organization_url(cast, "setting", LE_CHAT_CONSOLE.key), {"choice": "opted_out"})
    assert response.status_code == 302
    (event,) = events_after(last)
    assert (event.kind, event.product, event.surface) == (EventKind.CHOICE_OPTED_OUT, "le_chat", "le_chat_console")
    assert by_operator(event, cast)
    assert setting(cast).choice == "opted_out"


def test_setting__opted_in__asks_first_and_changes_nothing(cast: Cast, operator: Client) -> None:
    last, page = last_event(), organization_url(cast, "setting", AI_STUDIO_CONSOLE.key)
    response = operator.post(page, {"choice": "opted_in", "version": setting(cast, "ai_studio").version})
    assert response.status_code == 200
    assert b"Allow training on this data?" in response.content
    assert events_after(last) == []


def test_setting__opted_in_with_reason__writes_one_event(cast: Cast, operator: Client) -> None:
    last, page = last_event(), organization_url(cast, "setting", AI_STUDIO_CONSOLE.key)
    version = setting(cast, "ai_studio").version
    sent = {"choice": "opted_in", "confirmed": "yes", "version": version, "reason": "Letter of 3 May"}
    assert operator.post(page, sent).status_code == 302
    (event,) = events_after(last)
    assert (event.kind, event.reason) == (EventKind.CHOICE_OPTED_IN, "Letter of 3 May")
    assert by_operator(event, cast)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"reason": ""}, 400),
        ({"reason": "  "}, 400),
        ({"reason": "x" * 501}, 400),
        ({"version": ""}, 428),
        ({"version": "0"}, 412),
        ({"version": "many"}, 400),
        ({"choice": "toggle"}, 400),
        ({"choice": ""}, 400),
    ],
)
def test_setting__opt_in_incomplete__refused_and_unchanged(
    changed: dict[str, str], status: int, cast: Cast, operator: Client
) -> None:
    last, page = last_event(), organization_url(cast, "setting", AI_STUDIO_CONSOLE.key)
    version = setting(cast, "ai_studio").version
    sent = {"choice": "opted_in", "confirmed": "yes", "version": str(version), "reason": "Letter", **changed}
    assert operator.post(page, sent).status_code == status
    assert events_after(last) == []


def test_setting__opt_in_under_a_lock__refused_and_unchanged(cast: Cast, operator: Client) -> None:
    sent = {"reason": "Contract", "reference": "C-1"}
    assert confirm(operator, organization_url(cast, "lock", "ai_studio"), sent).status_code == 302
    last, version = last_event(), setting(cast, "ai_studio").version
    response = operator.post(
        organization_url(cast, "setting", AI_STUDIO_CONSOLE.key),
        {"choice": "opted_in", "confirmed": "yes", "version": version, "reason": "Letter"},
    )
    assert response.status_code == 409
    assert b"Training is locked" in response.content
    assert events_after(last) == []


@pytest.mark.parametrize("surface", ["le_chat_mobile", "nothing"])
def test_setting__no_surface_of_organizations__not_found(surface: str, cast: Cast, operator: Client) -> None:
    last = last_event()
    assert operator.post(organization_url(cast, "setting", surface), {"choice": "opted_out"}).status_code == 404
    assert events_after(last) == []


@pytest.mark.parametrize("ident", [uuid.uuid4(), "1", "not-an-id"])
def test_organization__no_such_id__not_found(ident: object, operator: Client) -> None:
    assert operator.get(url("accounts_organization_change", ident)).status_code == 404
    page = url("accounts_organization_setting", ident, LE_CHAT_CONSOLE.key)
    assert operator.post(page, {"choice": "opted_out"}).status_code == 404


@pytest.mark.parametrize("name", ["setting", "plan", "end", "lock", "lift"])
def test_change__by_get__not_allowed(name: str, cast: Cast, operator: Client) -> None:
    assert operator.get(organization_url(cast, name, "le_chat")).status_code == 405


def test_page__of_an_organization__says_what_is_decided(cast: Cast, operator: Client) -> None:
    response = operator.get(organization_url(cast, "change"))
    text = response.content.decode()
    assert "Following the default of Le Chat Pro: used for training." in text
    assert "Following the default of AI Studio Scale: not used to train our models or improve our services." in text
    assert POLICY in response.headers["Content-Security-Policy"]


# --- Plans, locks, standing, details ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "sent", "kinds"),
    [
        ("plan", ["le_chat"], {"plan": "le_chat_teams", "reason": "Order 7"}, ["plan.changed"]),
        ("plan", ["le_chat"], {"plan": "le_chat_pro", "reason": "x"}, []),
        ("end", ["le_chat"], {"reason": "Cancelled"}, ["subscription.ended"]),
        ("lock", ["le_chat"], {"reason": "Contract", "reference": "C-1"}, ["lock.placed"]),
        ("lift", ["le_chat"], {"reason": "Contract over"}, []),
        ("close", [], {"reason": "Left us"}, ["organization.closed", "organization.closed"]),
        ("reopen", [], {"reason": "Is back"}, []),
        (
            "change",
            [],
            {"name": "Kvasir", "kind": "team", "country": "no", "external_id": "k-1"},
            ["organization.updated", "external_id.given"],
        ),
        ("change", [], {"name": "Kvasir Labs", "kind": "team"}, []),
        ("members", [], {"email": "new@kvasir.example", "role": "auditor"}, ["member.joined"]),
    ],
)
def test_organization__changed__writes_these_events(
    name: str, args: list[str], sent: dict[str, str], kinds: list[str], cast: Cast, operator: Client
) -> None:
    last = last_event()
    assert confirm(operator, organization_url(cast, name, *args), sent).status_code == 302
    events = events_after(last)
    assert [event.kind for event in events] == kinds
    assert all(by_operator(event, cast) for event in events)
    assert {event.reason for event in events} <= {sent.get("reason", "")}


@pytest.mark.parametrize(
    ("name", "args", "sent", "status", "says"),
    [
        ("plan", ["le_chat"], {"plan": "ai_studio_scale"}, 400, "Select a valid choice"),
        ("plan", ["le_chat"], {}, 400, "required"),
        ("plan", ["le_chat"], {"plan": "le_chat_teams", "reason": "x" * 501}, 400, "500"),
        ("plan", ["telepathy"], {"plan": "le_chat_teams"}, 404, ""),
        ("lock", ["le_chat"], {"reason": "Contract"}, 400, "required"),
        ("lock", ["le_chat"], {"reason": "", "reference": "C-1"}, 400, "required"),
        ("lift", ["le_chat"], {"reason": " "}, 400, "required"),
        ("close", [], {"reason": ""}, 400, "required"),
        ("change", [], {"name": " ", "kind": "team"}, 400, "required"),
        ("change", [], {"name": "Kvasir", "kind": "club"}, 400, "Select a valid choice"),
        ("change", [], {"name": "Kvasir", "kind": "team", "country": "1"}, 400, "is not a country"),
        ("change", [], {"name": "Kvasir", "kind": "personal"}, 409, "can be personal"),
        ("change", [], {"name": "Kvasir", "kind": "team", "external_id": "taken"}, 409, "is taken"),
        ("members", [], {"email": "nobody", "role": "member"}, 400, "is not an e-mail address"),
        ("members", [], {"email": "ada@kvasir.example", "role": "member"}, 409, "is a member already"),
    ],
)
def test_organization__bad_change__refused_and_unchanged(
    name: str, args: list[str], sent: dict[str, str], status: int, says: str, cast: Cast, operator: Client
) -> None:
    organizations.update_organization(organization=cast.brage, actor=cast.provider, source="admin", external_id="taken")
    last, before = last_event(), Organization.objects.filter(pk=cast.labs.pk).values().get()
    response = operator.post(organization_url(cast, name, *args), sent)
    assert response.status_code == status
    assert says in response.content.decode()
    assert events_after(last) == []
    assert Organization.objects.filter(pk=cast.labs.pk).values().get() == before


def test_plan__account_closed__refused_and_unchanged(cast: Cast, operator: Client) -> None:
    confirm(operator, organization_url(cast, "close"), {"reason": "Left us"})
    last = last_event()
    response = operator.post(organization_url(cast, "plan", "le_chat"), {"plan": "le_chat_teams", "reason": "x"})
    assert response.status_code == 409
    assert events_after(last) == []


# --- Creating ---------------------------------------------------------------------------------------------------------


def test_add__personal_with_opt_out__all_at_once(cast: Cast, operator: Client) -> None:
    last = last_event()
    sent = {
        "name": "Snorri",
        "kind": "personal",
        "owner_email": "Snorri@Home.example",
        "owner_name": "Snorri",
        "plan_le_chat": "le_chat_free",
        "opt_out_le_chat": "on",
    }
    response = operator.post(url("accounts_organization_add"), sent)
    made = Organization.objects.get(name="Snorri")
    assert (response.status_code, response.url) == (302, url("accounts_organization_change", made.pk))
    events = events_after(last)
    assert [event.kind for event in events] == [
        "organization.created",
        "member.joined",
        "choice.opted_out",
        "subscription.started",
    ]
    assert all(by_operator(event, cast) for event in events)
    assert not any(event.allowed for event in events if event.product)
    assert made.members.get().user.email == "snorri@home.example"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 400),
        ({"name": "Snorri", "kind": "personal"}, 400),
        ({"name": "Snorri", "kind": "personal", "owner_email": "no address"}, 400),
        ({"name": "Snorri", "kind": "team", "owner_email": "snorri@home.example"}, 400),
        ({"name": "Snorri", "kind": "team", "plan_le_chat": "ai_studio_scale"}, 400),
        ({"name": "Snorri", "kind": "team", "country": "France"}, 400),
        ({"name": "x" * 201, "kind": "team"}, 400),
        ({"name": "Snorri", "kind": "team", "external_id": "taken"}, 409),
    ],
)
def test_add__bad__refused_and_nothing_made(sent: dict[str, str], status: int, cast: Cast, operator: Client) -> None:
    draft = OrganizationDraft(name="First", external_id="taken")
    organizations.create_organization(draft=draft, actor=cast.provider, source="admin")
    last, count = last_event(), (Organization.objects.count(), User.objects.count())
    assert operator.post(url("accounts_organization_add"), sent).status_code == status
    assert events_after(last) == []
    assert (Organization.objects.count(), User.objects.count()) == count


# --- Members ----------------------------------------------------------------------------------------------------------


def member_url(cast: Cast, name: str) -> str:
    return url(f"accounts_member_{name}", cast.labs_member.pk)


@pytest.mark.parametrize(
    ("name", "sent", "kind"),
    [
        ("change", {"role": "admin", "external_id": ""}, "member.role_changed"),
        ("change", {"role": "member", "external_id": "d-1"}, "external_id.given"),
        ("leave", {}, "member.left"),
        ("opt_out", {}, "choice.opted_out"),
    ],
)
def test_member__changed__writes_one_event(
    name: str, sent: dict[str, str], kind: str, cast: Cast, operator: Client
) -> None:
    last = last_event()
    assert confirm(operator, member_url(cast, name), sent).status_code == 302
    (event,) = events_after(last)
    assert (event.kind, event.member_id) == (kind, cast.labs_member.pk)
    assert by_operator(event, cast)


def test_member__last_owner_leaves_or_steps_down__refused_and_unchanged(cast: Cast, operator: Client) -> None:
    owner, last = Member.objects.get(organization=cast.labs, role="owner"), last_event()
    assert operator.post(url("accounts_member_leave", owner.pk)).status_code == 409
    assert operator.post(url("accounts_member_change", owner.pk), {"role": "member"}).status_code == 409
    assert events_after(last) == []


def test_member__opted_in_by_operator__has_no_way(cast: Cast, operator: Client) -> None:
    operator.post(member_url(cast, "opt_out"))
    last = last_event()
    operator.post(member_url(cast, "opt_out"), {"choice": "opted_in"})
    assert events_after(last) == []
    assert setting(cast, member=cast.labs_member).choice == "opted_out"
    sent = {"choice": "opted_in", "confirmed": "yes", "version": 1}
    page = organization_url(cast, "setting", LE_CHAT_MOBILE.key)
    assert operator.post(page, sent).status_code == 404


def test_members__who_opted_out__is_told_to_operators(cast: Cast, operator: Client) -> None:
    opt_out_as_member(cast)
    text = operator.get(organization_url(cast, "members"), {"choice": "opted_out"}).content.decode()
    assert "dag@kvasir.example" in text and "ada@kvasir.example" not in text
