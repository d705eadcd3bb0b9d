"""One shell: operators' pages wear the console's navigation, and say there how much waits for whom."""

import re
from html import unescape

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts import operators
from accounts.access import Actor
from accounts.models import Member, User
from consent.jobs import actions, approval
from consent.models import BulkJob, OperatorRequest
from consent.services import operator_requests
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.factories import OrganizationFactory, UserFactory, long_standing
from tests.support.jobs import IN, Team
from tests.support.operators import Staff
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


def navigation(client: Client, path: str) -> dict[str, str]:
    """Label of each link of the navigation → its URL; the label with the number of what waits, as it is read out."""
    page = client.get(path).content.decode()
    found = re.search(r'<nav class="nav".*?</nav>', page, re.DOTALL)
    assert found, page
    links = re.findall(r'<a href="([^"]*)"[^>]*>(.*?)</a>', found[0], re.DOTALL)
    shown = [(re.sub(r'<span class="count".*?</span>', "", words), path) for path, words in links]
    return {unescape(re.sub(r"<[^>]*>", "", words)).strip(): path for words, path in shown}


def waiting_for(user: User) -> tuple[int, int]:
    second = operators.second_person(Actor.from_user(User.objects.get(pk=user.pk)))
    if second is None:
        return 0, 0
    return approval.to_approve(second).count(), operator_requests.to_confirm(second).count()


# --- What waits ------------------------------------------------------------------------------------------------------


def test_jobs_that_wait__counted_for_those_who_can_approve_them() -> None:
    team = Team()
    for user in (team.author, team.second):
        long_standing(user)
    team.organizations(1, "le_chat_teams")
    previewed, third = team.previewed(IN), UserFactory(operator=True, old=True)
    assert waiting_for(third) == (0, 0)
    job = actions.submit(job=previewed, actor=team.other, digest=previewed.digest)
    newcomer = UserFactory(operator=True)
    people = [team.author, team.second, third, newcomer, UserFactory(old=True)]
    counted = [waiting_for(user)[0] for user in people]
    assert counted == [not approval.refusal(job, Actor.from_user(user)) for user in people] == [0, 0, 1, 0, 0]
    actions.approve(job=job, actor=Actor.from_user(third, confirmed=True))
    assert waiting_for(third) == (0, 0)


@pytest.mark.parametrize("kind", ["operator", "second_factors"])
def test_requests_that_wait__counted_for_those_who_can_confirm_them(kind: str) -> None:
    staff = Staff()
    request = staff.asked(kind)
    people = [staff.asker, staff.second, staff.subject, staff.gone, staff.nobody, UserFactory(operator=True)]
    counted = [waiting_for(user)[1] for user in people]
    assert counted == ["confirm" in operator_requests.possible(request, Actor.from_user(user)) for user in people]
    assert sum(counted) == (2 if kind == "operator" else 1)
    User.objects.filter(pk=staff.asker.pk).update(is_active=False)  # who asked is no longer an operator
    assert [waiting_for(user)[1] for user in people] == [0] * len(people)


def test_requests_that_wait__not_past_their_end() -> None:
    staff = Staff()
    request = staff.asked("link")
    assert waiting_for(staff.second) == (0, 1)
    OperatorRequest.objects.filter(pk=request.pk).update(expires_at=request.asked_at)
    assert waiting_for(staff.second) == (0, 0)


def test_navigation__something_waits__is_said_in_words() -> None:
    staff = Staff()
    assert "Requests" in navigation(staff.client("second"), url("index"))
    staff.asked("link")
    assert "Requests (1 waits for you)" in navigation(staff.client("second"), url("index"))
    assert "Requests" in navigation(staff.client("asker"), url("index"))
    staff.asked("operator")
    assert "Requests (2 wait for you)" in navigation(staff.client("second"), url("why"))


def test_overview__what_waits__comes_first_and_one_s_own_before_others() -> None:
    staff = Staff()
    nothing = staff.client("second").get(url("index")).content.decode()
    assert "Nothing waits." in nothing
    own, others = staff.asked("link"), operator_requests.ask(
        kind="operator", email="new@provider.example", name="New", actor=staff.actor("second"), reason="as agreed"
    )  # fmt: skip
    page = staff.client("second").get(url("index")).content.decode()
    card = page[page.index('id="waiting"') : page.index('id="work"')]
    assert card.index(f"{own.pk}") < card.index("Waits for you") < card.index(f"{others.pk}")
    assert card.count("Waits for another operator") == 1
    assert page.index('id="waiting"') < page.index('id="work"') < page.index('id="shares"')


# --- The same shell --------------------------------------------------------------------------------------------------


def test_operators_pages__one_navigation_by_task_and_nothing_of_djangos(cast: Cast, operator: Client) -> None:
    paths = [
        url("index"),
        url("accounts_organization_changelist"),
        url("accounts_organization_change", cast.labs.pk),
        url("accounts_user_change", cast.owner.pk),
        url("accounts_user_history", cast.owner.pk),
        url("accounts_apikey_add"),
        *map(url, ("bulk", "import", "why")),
        reverse("console:data-controls"),
        reverse("mfa_index"),
    ]
    seen = [navigation(operator, path) for path in paths]
    assert all(each == seen[0] for each in seen)
    assert {"Overview", "Organizations", "People", "Bulk change", "Jobs", "Ledger", "Why?", "API keys"} <= {*seen[0]}
    for path in paths:
        page = operator.get(path).content.decode()
        assert page.count("<h1") == page.count('name="language"') == 1, path
        assert "admin/css" not in page and "nav-sidebar" not in page


def test_operators_pages__where_one_is__is_marked(cast: Cast, operator: Client) -> None:
    def marked(path: str) -> list[tuple[str, str]]:
        found = re.search(r'<nav class="nav".*?</nav>', operator.get(path).content.decode(), re.DOTALL)
        assert found
        return re.findall(r'href="([^"]*)" aria-current="(\w+)"', found[0])

    people = url("accounts_organization_changelist")
    assert marked(url("index")) == [(url("index"), "page")]
    assert marked(people) == [(people, "page")]
    assert marked(url("accounts_organization_change", cast.labs.pk)) == [(people, "true")]


def test_console__of_a_team__has_members_and_developers(cast: Cast) -> None:
    owner = casting.signed_in(cast.owner.email)
    links = navigation(owner, reverse("console:overview", args=[cast.labs.pk]))
    assert [*links] == [
        "Overview", "Le Chat", "Members", "Privacy", "History", "API keys", "Webhooks",
        "Settings", "Data & Account Controls", "Profile", "Sign-in and security", "Notifications", "Can I opt out?",
    ]  # fmt: skip


def test_console__of_one_person__has_no_members(cast: Cast) -> None:
    person = UserFactory()
    own = OrganizationFactory(kind="personal", owner=(person.email, person.name), actor=cast.provider)
    links = navigation(casting.signed_in(person.email), reverse("console:overview", args=[own.pk]))
    assert "Members" not in links and "Le Chat" in links


def test_app_index__leads_to_the_overview(operator: Client) -> None:
    answer = operator.get(reverse("admin:app_list", args=["consent"]))
    assert answer.status_code == 302 and answer["Location"] == url("index")


@pytest.mark.parametrize(("label", "model"), [("People", User), ("Memberships", Member), ("Jobs", BulkJob)])
def test_lists__are_called_as_the_navigation_calls_them(
    label: str, model: type[Model], cast: Cast, operator: Client
) -> None:
    path = url(f"{model._meta.app_label}_{model._meta.model_name}_changelist")
    assert navigation(operator, reverse("admin:index"))[label] == path
    assert heading(operator, path) == label


def test_person_s_page__is_called_by_the_name_and_leads_back_to_people(cast: Cast, operator: Client) -> None:
    path = url("accounts_user_change", cast.operator.pk)
    assert heading(operator, path) == str(cast.operator)
    assert f'<a href="{url("accounts_user_changelist")}">People</a>' in operator.get(path).content.decode()


def test_sign_in_and_security__is_called_as_the_navigation_calls_it(cast: Cast, operator: Client) -> None:
    assert heading(operator, reverse("mfa_index")) == "Sign-in and security"


def heading(client: Client, path: str) -> str:
    found = re.findall(r"<h1[^>]*>(.*?)</h1>", client.get(path).content.decode(), re.DOTALL)
    assert len(found) == 1, found
    return unescape(found[0]).strip()
