"""Can I opt out?: the article says what the plans and the reader's own settings say; Settings leads to the toggle."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Member, Plan, User
from consent.decisions import decide
from consent.lookups import Question
from consent.services import organizations, plans
from consent.services.organizations import OrganizationDraft
from tests.support.cast import Cast
from tests.support.console import CONTROLS, signed_in, url
from tests.support.factories import MemberFactory, UserFactory

pytestmark = pytest.mark.django_db
HELP = "/help/opt-out/"


def words(client: Client, path: str = HELP) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    text = answer.content.decode()
    return re.sub(r"\s+", " ", text[text.index("<main") :]).replace("&amp;", "&")


def told(text: str, default: str) -> list[str]:
    """The plans that the article names under this default, in its order."""
    found = re.findall(rf"<dt>{default} by default</dt> <dd>(.*?)\. ", text)
    return [name for names in found for name in names.split(", ")]


def single_person(cast: Cast) -> User:
    frida = UserFactory(email="frida@mail.example", name="Frida Ek")
    draft = OrganizationDraft(
        name="Frida Ek",
        kind="personal",
        owner=(frida.email, frida.name),
        subscriptions=[plans.get_plan("le_chat_free"), plans.get_plan("ai_studio_experiment")],
    )
    organizations.create_organization(draft=draft, actor=cast.provider, source="admin")
    return frida


@pytest.mark.parametrize("reader", ["anonymous", "owner"])
def test_article__every_plan__stands_under_its_default_as_decided(cast: Cast, reader: str) -> None:
    client = Client() if reader == "anonymous" else signed_in(cast, reader)
    text = words(client)
    for plan in Plan.objects.all():
        draft = OrganizationDraft(name=plan.name, subscriptions=[plan])
        made = organizations.create_organization(draft=draft, actor=cast.provider, source="admin")
        somebody = MemberFactory(organization=made, user=cast.member, actor=cast.provider)
        allowed = decide(Question(str(made.pk), plan.product, str(somebody.pk)), cast.provider).decision.allowed
        assert (plan.name in told(text, "Opted in")) is allowed
        assert (plan.name in told(text, "Opted out")) is not allowed


def test_article__default_changed__says_so(cast: Cast) -> None:
    Plan.objects.filter(key="le_chat_student").update(training_default="opted_out")
    text = words(Client())
    assert "Le Chat Student" in told(text, "Opted out") and "Le Chat Student" not in told(text, "Opted in")
    assert "On Le Chat Free, Le Chat Pro, documents that you attach or upload are part of your input" in text


def test_article__anonymous__names_places_and_nobody(cast: Cast) -> None:
    text = words(Client())
    for path in (
        "Admin Console › Manage › Le Chat › Privacy",
        "Settings › Account › Data & Account Controls",
        "Admin Console › Privacy › Anonymous improvement data",
    ):
        assert path in text
    assert "train our models or improve our services" in text
    assert "Where you stand" not in text and "Kvasir" not in text
    assert f"/sign-in/?next={HELP}" in text


def test_article__owner__reads_their_places_with_links_to_the_toggles(cast: Cast) -> None:
    own = Member.objects.get(organization=cast.labs, user=cast.owner)
    text = words(signed_in(cast, "owner"))
    for target in (
        f"{url(cast, 'le-chat')}#setting-le_chat_console",
        f"{url(cast, 'privacy')}#setting-ai_studio_console",
        f"{CONTROLS}#setting-{own.pk}",
    ):
        assert f'<a href="{target}">' in text
    assert "Following the default of AI Studio Scale: not used to train our models or improve our services." in text


def test_article__plain_member__only_their_own_toggle_and_who_decides(cast: Cast) -> None:
    text = words(signed_in(cast, "member"))
    assert f'<a href="{CONTROLS}#setting-{cast.labs_member.pk}">' in text
    assert f"/o/{cast.labs.pk}/" not in text and "AI Studio Scale: not used" not in text
    assert "Kvasir Labs decides about its AI Studio and API data." in text


def test_article__single_person__reads_of_no_organization(cast: Cast) -> None:
    single_person(cast)
    client = Client()
    client.force_login(User.objects.get(email="frida@mail.example"))
    for path in (HELP, CONTROLS, "/settings/", "/settings/account/"):
        text = words(client, path)
        assert "organization" not in re.sub(r"<[^>]*>", " ", text).replace("your organizations", ""), path


def test_article__newcomer__is_told_that_nothing_is_used(cast: Cast) -> None:
    client = Client()
    client.force_login(UserFactory(email="new@mail.example", name="New"))
    assert "no data of yours is used" in words(client)
    assert f'href="{HELP}"' in words(client, CONTROLS)


def test_article__many_memberships__bounded_and_as_many_queries(cast: Cast, django_assert_max_num_queries) -> None:
    for n in range(12):
        made = organizations.create_organization(
            draft=OrganizationDraft(name=f"Team {n}"), actor=cast.provider, source="admin"
        )
        MemberFactory(organization=made, user=cast.member, role="owner", actor=cast.provider)
    client = signed_in(cast, "member")
    with django_assert_max_num_queries(30):
        text = words(client)
    assert text.count('<section class="card"') == 8
    assert "All your memberships" in text and reverse("organizations") in text


@pytest.mark.parametrize("reader", ["member", "owner", "operator"])
def test_settings__by_taps__to_enable_data_sharing(cast: Cast, reader: str) -> None:
    client = signed_in(cast, reader)
    assert '<a href="/settings/account/">' in words(client, "/settings/")
    account = words(client, "/settings/account/")
    assert '<a href="/settings/">Settings</a>' in account
    for target in (CONTROLS, reverse("console:profile"), reverse("mfa_index"), reverse("console:notifications")):
        assert f'<a href="{target}">' in account
    assert '<a href="/settings/account/">Account</a>' in words(client, CONTROLS)


def test_card__any__leads_to_the_article(cast: Cast) -> None:
    client = signed_in(cast, "owner")
    for path in (url(cast, "le-chat"), url(cast, "privacy"), CONTROLS):
        text = words(client, path)
        assert f'<a href="{HELP}">Can I opt out?</a>' in text and "You can change this at any time." in text
    assert "You can change" not in words(signed_in(cast, "auditor"), url(cast, "le-chat"))
    # An operator acts for the customer: what they read is not about themselves.
    assert f'<a href="{HELP}">' not in words(signed_in(cast, "operator"), url(cast, "le-chat"))


def test_card__reason_of_an_opt_in__is_told_with_the_default(cast: Cast) -> None:
    client = signed_in(cast, "owner")
    client.post(
        url(cast, "privacy"), {"choice": "opted_in", "confirmed": "yes", "version": 1, "reason": "A joint project"}
    )
    text = words(client, url(cast, "privacy"))
    assert "Used to train our models or improve our services. You allowed it in the Admin Console on" in text
    assert "Reason given: “A joint project”. The plan's default: not used." in text.replace("&#x27;", "'")
