"""The operators' site: users and keys, lists and actions, the ledger's history and Why?."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.access import Actor
from accounts.models import ApiKey, Member, Organization, User
from consent.models import BulkJob, ConsentEvent, PrivacySetting
from consent.services import choices, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE
from consent.worker import work_once
from tests.support.asking import confirm
from tests.support.cast import Cast
from tests.support.operators_site import MODELS, by_operator, events_after, last_event, organization_url, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


# --- Users and keys ---------------------------------------------------------------------------------------------------


def test_user__added_by_an_operator__has_no_password_and_no_mark(operator: Client) -> None:
    sent = {"email": "New@Provider.example", "name": "New", "is_staff": "on", "password": "a long and unusual one"}
    assert operator.post(url("accounts_user_add"), sent).status_code == 302
    user = User.objects.get(email="new@provider.example")
    assert not user.is_staff and not user.has_usable_password()


@pytest.mark.parametrize(("email", "status"), [("nobody", 400), ("", 400), ("ADA@kvasir.example", 409)])
def test_user__bad__not_created(email: str, status: int, operator: Client) -> None:
    count = User.objects.count()
    assert operator.post(url("accounts_user_add"), {"email": email, "name": "New"}).status_code == status
    assert User.objects.count() == count


@pytest.mark.parametrize("kept", ["is_staff", "is_active"])
def test_user__operator_locks_themselves_out__refused_and_unchanged(kept: str, cast: Cast, operator: Client) -> None:
    sent = {"email": cast.operator.email, "name": "Odin", kept: "on"}
    assert operator.post(url("accounts_user_change", cast.operator.pk), sent).status_code == 200
    cast.operator.refresh_from_db()
    assert cast.operator.is_staff and cast.operator.is_active and cast.operator.name == "Odin Eriksen"


def test_user__another_deactivated__is_so(cast: Cast, operator: Client) -> None:
    sent = {"email": cast.owner.email, "name": "Ada"}
    assert operator.post(url("accounts_user_change", cast.owner.pk), sent).status_code == 302
    cast.owner.refresh_from_db()
    assert not cast.owner.is_active


def test_key__created__shown_once_and_never_again(cast: Cast, operator: Client) -> None:
    sent = {"name": "Pipeline", "scopes": ["decisions:read"], "organization": str(cast.labs.pk)}
    response = operator.post(url("accounts_apikey_add"), sent, follow=True)
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    key = ApiKey.objects.get()
    text = response.context["secret"]
    assert text.startswith(key.prefix) and text in response.content.decode()
    for page in (url("accounts_apikey_change", key.pk), url("accounts_apikey_changelist"), url("index")):
        later = operator.get(page).content.decode()
        assert text not in later and key.hash not in later
    assert operator.post(response.redirect_chain[-1][0], {"do": "copied"}).status_code == 302
    assert text not in str(dict(operator.session))
    assert key.organization == cast.labs


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": ""}, "required"),
        ({"scopes": []}, "required"),
        ({"scopes": ["world:rule"]}, "Select a valid choice"),
        ({"organization": "kvasir"}, "is not an id"),
        ({"organization": str(uuid.uuid4())}, "no such organization"),
        ({"expires_at": "2020-01-01 00:00"}, "in the past"),
        ({"expires_at": "soon"}, "Enter a valid date/time"),
        ({"scopes": ["consent:member"], "organization": "labs"}, "operator keys only"),
    ],
)
def test_key__bad__refused_and_none_made(changed: dict[str, Any], says: str, cast: Cast, operator: Client) -> None:
    sent = {"name": "Pipeline", "scopes": ["decisions:read"], **changed}
    if sent.get("organization") == "labs":
        sent["organization"] = str(cast.labs.pk)
    response = operator.post(url("accounts_apikey_add"), sent)
    assert response.status_code == 400
    assert says in response.content.decode()
    assert not ApiKey.objects.exists()


def test_key__revoked__is_dead_and_stays_so(cast: Cast, operator: Client) -> None:
    operator.post(url("accounts_apikey_add"), {"name": "Pipeline", "scopes": ["decisions:read"]})
    key = ApiKey.objects.get()
    assert operator.post(url("accounts_apikey_change", key.pk), {"name": "Other"}).status_code == 405
    assert confirm(operator, url("accounts_apikey_revoke", key.pk)).status_code == 302
    key.refresh_from_db()
    first = key.revoked_at
    assert first is not None
    operator.post(url("accounts_apikey_revoke", key.pk))
    key.refresh_from_db()
    assert (key.revoked_at, key.name) == (first, "Pipeline")


# --- Lists and actions ------------------------------------------------------------------------------------------------


def more(cast: Cast, count: int) -> None:
    held = [plans.get_plan("le_chat_pro"), plans.get_plan("ai_studio_experiment")]
    drafts = [OrganizationDraft(name=f"Institute {n}", subscriptions=held) for n in range(count)]
    organizations.create_organizations(drafts, actor=cast.provider, source="import")


@pytest.mark.parametrize("model", MODELS)
def test_list__more_rows__same_number_of_queries(model: str, cast: Cast, operator: Client) -> None:
    counts = []
    for count in (1, 20):
        more(cast, count)
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(url(f"{model}_changelist")).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 12


@pytest.mark.parametrize("name", ["members", "history"])
def test_organization_list__more_rows__same_number_of_queries(name: str, cast: Cast, operator: Client) -> None:
    counts = []
    for n in (1, 2):
        sent = {"email": f"one-more-{n}@kvasir.example", "role": "member"}
        assert operator.post(organization_url(cast, "members"), sent).status_code == 302
        joined = Member.objects.get(user__email=f"one-more-{n}@kvasir.example")
        operator.post(url("accounts_member_opt_out", joined.pk))
        operator.get(organization_url(cast, "members"))  # shows the messages
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(organization_url(cast, name)).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("parameter", ["plan", "le_chat_reason", "kind__exact", "q"])
def test_list__nul_in_a_filter__refused(parameter: str, operator: Client) -> None:
    assert operator.get(url("accounts_organization_changelist"), {parameter: "\x00"}).status_code == 400


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"plan": "le_chat_teams"}, {"Brage Skaldskap"}),
        ({"le_chat": "opted_in"}, {"Kvasir Labs"}),
        ({"le_chat": "opted_out"}, {"Brage Skaldskap"}),
        ({"ai_studio": "opted_in"}, set()),
        ({"le_chat_reason": "plan_default"}, {"Kvasir Labs", "Brage Skaldskap"}),
        ({"ai_studio_reason": "no_subscription"}, {"Brage Skaldskap"}),
        ({"kind__exact": "personal"}, set()),
        ({"q": "kvasir"}, {"Kvasir Labs"}),
        ({"q": "labs"}, set()),
        ({"q": "eli@brage.example"}, {"Brage Skaldskap"}),
        ({"q": "eli@brage"}, set()),
        ({"q": "b-7"}, {"Brage Skaldskap"}),
        ({"q": "external:b-7"}, {"Brage Skaldskap"}),
        ({"q": "b-"}, set()),
        ({"q": "%"}, set()),
        ({"plan": "le_chat_pro", "le_chat": "opted_in", "ai_studio": "opted_out"}, {"Kvasir Labs"}),
    ],
)
def test_organizations__filtered__shows_exactly(
    query: dict[str, str], names: set[str], cast: Cast, operator: Client
) -> None:
    organizations.update_organization(organization=cast.brage, actor=cast.provider, source="admin", external_id="b-7")
    response = operator.get(url("accounts_organization_changelist"), query)
    assert response.status_code == 200
    assert {row.name for row in response.context["cl"].result_list} == names


def test_action__all_that_match__a_job_that_opts_out_each_once(cast: Cast, operator: Client) -> None:
    more(cast, 60)
    choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=cast.labs,
        choice="opted_out",
        actor=Actor.from_user(cast.owner, confirmed=True),
        source="console",
    )
    last, page = last_event(), url("accounts_organization_changelist") + "?plan=le_chat_pro"
    sent = {"action": "opt_out_le_chat", "select_across": "1", "_selected_action": [str(cast.labs.pk)]}
    response = operator.post(page, sent)
    job = BulkJob.objects.get()
    assert response.status_code == 302 and response["Location"] == url("consent_bulkjob_change", job.pk)
    assert (job.matched, job.preview, events_after(last)) == (61, {"change": 60, "same": 1}, [])
    assert operator.post(url("consent_bulkjob_run", job.pk), {"digest": job.digest}).status_code == 302
    while work_once():
        pass
    events = events_after(last)
    assert len(events) == 60
    assert {(event.kind, event.product) for event in events} == {("choice.opted_out", "le_chat")}
    assert all(by_operator(event, cast) for event in events)
    assert not PrivacySetting.objects.filter(product="ai_studio", choice="opted_out").exists()


def test_action__selection_is_no_id__refused_and_unchanged(cast: Cast, operator: Client) -> None:
    last, sent = last_event(), {"action": "opt_out_ai_studio", "_selected_action": ["everything"]}
    assert operator.post(url("accounts_organization_changelist"), sent).status_code == 400
    assert events_after(last) == []


def test_action__two_selected__changes_only_these(cast: Cast, operator: Client) -> None:
    more(cast, 3)
    chosen = [str(pk) for pk in Organization.objects.filter(name__startswith="Institute").values_list("pk", flat=True)]
    last, sent = last_event(), {"action": "opt_out_ai_studio", "_selected_action": chosen[:2]}
    assert operator.post(url("accounts_organization_changelist"), sent).status_code == 302
    assert events_after(last) == []
    rows = BulkJob.objects.get().rows.values_list("organization_id", flat=True)
    assert {str(pk) for pk in rows} == set(chosen[:2])


# --- History and Why? -------------------------------------------------------------------------------------------------


def test_history__of_an_organization__comes_from_the_ledger(cast: Cast, operator: Client) -> None:
    confirm(operator, organization_url(cast, "lock", "le_chat"), {"reason": "Contract", "reference": "C-17"})
    response = operator.get(organization_url(cast, "history"))
    rows = response.context["rows"]
    assert rows == list(ConsentEvent.objects.filter(organization=cast.labs).order_by("-pk"))
    assert "C-17" in response.content.decode() and "Odin Eriksen" in response.content.decode()


def test_why__asked__answers_with_layers_and_events(cast: Cast, operator: Client) -> None:
    query = {"organization": str(cast.labs.pk), "product": "le_chat", "member": str(cast.labs_member.pk)}
    response = operator.get(url("why"), query)
    assert response.status_code == 200
    answer = response.context["answer"]
    assert answer.decision.allowed and answer.decision.reason == "plan_default"
    assert [layer["name"] for layer in response.context["layers"]] == ["Organization", "Member"]
    assert str(answer.events["organization"]) in response.content.decode()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"organization": str(uuid.uuid4()), "product": "le_chat"}, "unknown_organization"),
        ({"organization": "labs", "product": "le_chat"}, "member_required"),
        ({"organization": "labs", "product": "ai_studio"}, "plan_default"),
        ({"organization": "labs", "product": "ai_studio", "at": "2019-01-01 00:00"}, "not_yet_known"),
        (
            {"organization": "labs", "product": "ai_studio", "collected_at": "2999-01-01T00:00:00+02:00"},
            "not_yet_known",
        ),
    ],
)
def test_why__denied__says_why(query: dict[str, str], reason: str, cast: Cast, operator: Client) -> None:
    asked = {name: str(cast.labs.pk) if value == "labs" else value for name, value in query.items()}
    answer = operator.get(url("why"), asked).context["answer"]
    assert (answer.decision.allowed, answer.decision.reason) == (False, reason)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"organization": ""}, "Say which organization"),
        ({"organization": "nidhögg"}, "No organization has “nidhögg” as name"),
        ({"member": "nidhögg"}, "No member has “nidhögg” as name"),
        ({"product": "telepathy"}, "Select a valid choice"),
        ({"data_kind": "dream"}, "Select a valid choice"),
        ({"data_kind": "api_input"}, "no such kind of data"),
        ({"collected_at": "yesterday"}, "Enter a valid date/time"),
        ({"at": "2026-13-01 00:00"}, "Enter a valid date/time"),
    ],
)
def test_why__malformed__says_what_is_wrong(changed: dict[str, str], says: str, cast: Cast, operator: Client) -> None:
    response = operator.get(url("why"), {"organization": str(cast.labs.pk), "product": "le_chat", **changed})
    assert response.status_code == 400
    assert says in response.content.decode()
    assert response.context["answer"] is None
