"""The operators' lists: filters in words, that can be taken away; words instead of codes; rows that become cards."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Organization
from consent.models import ConsentEvent
from consent.services import choices, locks, plans
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.cast import Cast
from tests.support.factories import OrganizationFactory
from tests.support.operators_site import MODELS, url

pytestmark = pytest.mark.django_db

CODES = re.compile(r"\b(le_chat_\w+|ai_studio_\w+|opted_(in|out)|plan_default|carried_over|[a-z]+\.[a-z]+_[a-z]+)\b")


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


def page(operator: Client, path: str) -> str:
    answer = operator.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def shown(text: str) -> str:
    """What is read: without markup, and without the values of fields."""
    return re.sub(r"<[^>]*>", " ", text)


def in_force(text: str) -> list[str]:
    found = re.search(r'<ul class="plain in-force".*?</ul>', text, re.DOTALL)
    chips = re.findall(r"<a [^>]*>(.*?)</a>", found[0], re.DOTALL) if found else []
    return [" ".join(shown(chip).split()) for chip in chips]


def test_filter__in_force__is_said_in_words_and_can_be_taken_away(cast: Cast, operator: Client) -> None:
    address = url("accounts_organization_changelist")
    assert in_force(page(operator, address)) == []
    text = page(operator, f"{address}?plan=le_chat_free&status__exact=active&q=kvasir")
    assert in_force(text) == ["Plan: Le Chat Free × (take away)", "Status: Active × (take away)"]
    assert 'href="?q=kvasir&amp;status__exact=active"' in text  # without the plan: the search and the other filter stay
    assert '<option value="le_chat_free" selected>' in text
    assert '<input type="hidden" name="q" value="kvasir">' in text


def test_filter__a_value_that_is_no_choice__is_shown_as_it_is_and_finds_nothing(cast: Cast, operator: Client) -> None:
    text = page(operator, f"{url('accounts_organization_changelist')}?plan=%3Cb%3Enonsense")
    assert "&lt;b&gt;nonsense" in text and "<b>nonsense" not in text
    assert cast.labs.name not in text and "Nothing matches. Take a filter away." in text


def test_filters__sent_with_most_left_at_all__leave_the_address_clean(cast: Cast, operator: Client) -> None:
    address = url("accounts_organization_changelist")
    answer = operator.get(f"{address}?plan=le_chat_free&le_chat=&kind__exact=&status__exact=&q=")
    assert (answer.status_code, answer["Location"]) == (302, f"{address}?plan=le_chat_free")
    answer = operator.get(f"{address}?plan=&q=")
    assert (answer.status_code, answer["Location"]) == (302, address)
    answer = operator.get(f"{address}?status__exact=active&status__exact=")  # given twice, and once for nothing
    assert (answer.status_code, answer["Location"]) == (302, f"{address}?status__exact=active")
    assert operator.get(f"{address}?q=").status_code == 200


def test_search__nothing_found__says_what_was_looked_for(operator: Client) -> None:
    assert "Nothing matches “no such thing”" in page(operator, f"{url('accounts_user_changelist')}?q=no+such+thing")


@pytest.mark.parametrize("model", MODELS)
def test_list__columns__are_few_with_headings_on_a_phone(model: str, cast: Cast, operator: Client) -> None:
    locks.place_lock(
        organization=cast.labs, product="le_chat", reason="law", reference="§ 1", actor=cast.provider, source="admin"
    )
    text = page(operator, url(f"{model}_changelist"))
    row = re.search(r"<tbody>\s*<tr>(.*?)</tr>", text, re.DOTALL)
    if model == "accounts_apikey":
        assert row is None  # there is none
        return
    assert row, text
    cells = re.findall(r"<(t[dh])\b([^>]*)>", row[1])
    assert len(cells) <= 6
    assert all("data-label=" in more for tag, more in cells if tag == "td" and "action-checkbox" not in more)


@pytest.mark.parametrize("model", ["accounts_organization", "accounts_subscription", "consent_privacysetting"])
def test_list__of_states__has_words_and_no_codes(model: str, cast: Cast, operator: Client) -> None:
    for plan in ("le_chat_teams", "ai_studio_scale"):
        organization: Organization = OrganizationFactory(plan=plan, actor=cast.provider)
        assert organization.pk
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin",
        reason="as agreed", version_required=False,
    )  # fmt: skip
    text = shown(page(operator, reverse(f"admin:{model}_changelist")))
    assert not CODES.search(text), CODES.search(text)
    assert "Le Chat Teams" in text


def test_ledger__list_and_event__say_in_words_what_changed(cast: Cast, operator: Client) -> None:
    plans.subscribe(
        organization=cast.labs,
        plan=plans.get_plan("le_chat_teams"),
        actor=cast.provider,
        source="admin",
        reason="moved",
    )
    event = ConsentEvent.objects.latest("pk")
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin",
        reason="as agreed", version_required=False,
    )  # fmt: skip
    for path in (url("consent_consentevent_changelist"), url("consent_consentevent_change", event.pk)):
        text = shown(page(operator, path))
        assert not CODES.search(text.replace(str(event), "")), CODES.search(text)
        assert "Le Chat Teams" in text
    assert "No choice yet → Opted out" in shown(page(operator, url("consent_consentevent_changelist")))
