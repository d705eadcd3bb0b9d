"""The organization's settings by plain forms, without JavaScript; and pages say what a decision says."""

import pytest
from django.conf import settings
from django.test import Client

from accounts.access import Actor
from accounts.models import Member
from consent.decisions import decide
from consent.lookups import Question
from consent.models import ConsentEvent
from consent.services import choices, locks, members, organizations, plans
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member
from tests.support.console import (
    CONTROLS,
    choice_of,
    events,
    in_words,
    opt_in,
    opted_out_by_owner,
    signed_in,
    url,
    version,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("name", "product"), [("le-chat", "le_chat"), ("privacy", "ai_studio")])
def test_setting_page__plain_post__opts_out_once(cast: Cast, name: str, product: str) -> None:
    client, before = signed_in(cast, "admin"), events()
    for _ in range(2):
        response = client.post(url(cast, name), {"choice": "opted_out", "version": 0})
        assert response.status_code == 302
    assert events() == before + 1
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.product, event.source) == ("choice.opted_out", product, "console")
    assert (event.actor_type, event.actor_id) == ("user", str(cast.admin.pk))
    page = client.get(url(cast, name)).content.decode()
    assert f"From now on this data is {in_words(product, allowed=False).lower()}." in page
    assert f"{in_words(product, allowed=False)}. You turned it off in the Admin Console on " in page


@pytest.mark.parametrize(("role", "status"), [("auditor", 403), ("member", 403), ("outsider", 404)])
@pytest.mark.parametrize("choice", ["opted_out", "opted_in"])
@pytest.mark.parametrize("confirmed", ["yes", ""])
def test_setting_page__post_without_permission__refused(
    cast: Cast, role: str, status: int, choice: str, confirmed: str
) -> None:
    opted_out_by_owner(cast, AI_STUDIO_CONSOLE)
    before = events()
    data = {"choice": choice, "confirmed": confirmed, "version": version(cast, "ai_studio"), "reason": "why not"}
    assert signed_in(cast, role).post(url(cast, "privacy"), data).status_code == status
    assert events() == before


def test_setting_page__signed_out_post__leads_to_sign_in(cast: Cast) -> None:
    before = events()
    assert Client().post(url(cast, "le-chat"), {"choice": "opted_out"}).status_code == 302
    from_htmx = Client().post(url(cast, "le-chat"), {"choice": "opted_out"}, headers={"HX-Request": "true"})
    assert (from_htmx.status_code, from_htmx["HX-Redirect"]) == (200, "/sign-in/?next=/")
    assert events() == before


def test_setting_page__no_csrf_token__refused(cast: Cast) -> None:
    client, before = Client(enforce_csrf_checks=True), events()
    client.force_login(cast.owner)
    response = client.post(url(cast, "le-chat"), {"choice": "opted_out"})
    assert response.status_code == 403 and "expired" in response.content.decode()
    assert events() == before


@pytest.mark.parametrize(
    "data", [{}, {"choice": "default"}, {"choice": "toggle"}, {"choice": "opted_in", "version": "x"}]
)
def test_setting_page__bad_form__refused(cast: Cast, data: dict[str, str]) -> None:
    before = events()
    response = signed_in(cast, "owner").post(url(cast, "le-chat"), data)
    assert response.status_code == 400 and "Not saved. Still used for training." in response.content.decode()
    assert events() == before


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_setting_page__other_methods__not_allowed(cast: Cast, method: str) -> None:
    assert getattr(signed_in(cast, "owner"), method)(url(cast, "le-chat")).status_code == 405


def test_opt_in__not_confirmed__asks_first(cast: Cast) -> None:
    opted_out_by_owner(cast)
    client, before = signed_in(cast, "owner"), events()
    response = client.post(url(cast, "le-chat"), {"choice": "opted_in", "version": version(cast)})
    page = response.content.decode()
    assert response.status_code == 200 and events() == before
    assert "Allow training on this data?" in page and "Keep off" in page
    assert client.post(url(cast, "le-chat"), opt_in(cast)).status_code == 302
    assert choice_of(cast) == "opted_in" and events() == before + 1


def test_opt_in__plan_out_by_default__needs_reason(cast: Cast) -> None:
    client, before = signed_in(cast, "owner"), events()
    refused = client.post(url(cast, "privacy"), opt_in(cast, "ai_studio"))
    assert refused.status_code == 400 and "needs a reason" in refused.content.decode()
    assert events() == before
    data = opt_in(cast, "ai_studio", reason="Research contract")
    assert client.post(url(cast, "privacy"), data).status_code == 302
    assert ConsentEvent.objects.latest("pk").reason == "Research contract"


def test_opt_in__stale_version__refused_and_shows_what_holds(cast: Cast) -> None:
    seen = opt_in(cast)
    opted_out_by_owner(cast)
    before = events()
    response = signed_in(cast, "admin").post(url(cast, "le-chat"), seen)
    page = response.content.decode()
    assert response.status_code == 412 and events() == before
    assert "Not saved. Still not used for training. The setting has changed since you looked at it." in page
    assert f"Reference {response['X-Request-ID']}." in page
    assert "Not used for training. Chosen by Ada Lindqvist on " in page


def test_opt_in__no_version__refused(cast: Cast) -> None:
    opted_out_by_owner(cast)
    before = events()
    data = {"choice": "opted_in", "confirmed": "yes"}
    assert signed_in(cast, "owner").post(url(cast, "le-chat"), data).status_code == 428
    assert events() == before


def test_opt_out__stale_version__saved_all_the_same(cast: Cast) -> None:
    assert (
        signed_in(cast, "owner").post(url(cast, "le-chat"), {"choice": "opted_out", "version": 999}).status_code == 302
    )
    assert choice_of(cast) == "opted_out"


def test_locked__opt_in_refused_opt_out_saved(cast: Cast) -> None:
    locks.place_lock(
        organization=cast.labs,
        product="le_chat",
        reason="hospital contract",
        reference="C-118",
        actor=cast.provider,
        source="admin",
    )
    client, before = signed_in(cast, "owner"), events()
    page = client.get(url(cast, "le-chat")).content.decode()
    assert "Locked since" in page and "hospital contract" in page and "Opt out for good as well" in page
    for data in (opt_in(cast), opt_in(cast, confirmed="")):
        assert client.post(url(cast, "le-chat"), data).status_code == 409
        assert events() == before
    assert client.post(url(cast, "le-chat"), {"choice": "opted_out"}).status_code == 302
    assert choice_of(cast) == "opted_out" and events() == before + 1
    assert "Opt out for good as well" not in client.get(url(cast, "le-chat")).content.decode()


def test_set_by_operator__keep_it_off__becomes_theirs(cast: Cast) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )
    client = signed_in(cast, "owner")
    page = client.get(url(cast, "le-chat")).content.decode()
    assert f"Set by {settings.PROVIDER_NAME} on " in page and "Keep it off" in page and "Odin" not in page
    client.post(url(cast, "le-chat"), {"choice": "opted_out"})
    assert ConsentEvent.objects.latest("pk").kind == "choice.confirmed"
    page = client.get(url(cast, "le-chat")).content.decode()
    assert "You turned it off in the Admin Console on " in page and "Keep it off" not in page


def test_operator__opt_in_for_a_customer__is_asked_for_a_reason(cast: Cast) -> None:
    opted_out_by_owner(cast)
    page = signed_in(cast, "operator").get(url(cast, "le-chat")).content.decode()
    assert 'name="reason"' in page
    assert 'name="reason"' not in signed_in(cast, "owner").get(url(cast, "le-chat")).content.decode()


def test_auditor__sees_all_and_changes_nothing(cast: Cast) -> None:
    page = signed_in(cast, "auditor").get(url(cast, "le-chat")).content.decode()
    assert "Only owners and admins can change this." in page
    assert "checked disabled" in page and "<dialog" not in page and "plain-submit" not in page


def test_setting_swap__htmx__is_the_setting_and_both_regions(cast: Cast) -> None:
    client = signed_in(cast, "owner")
    response = client.post(url(cast, "le-chat"), {"choice": "opted_out"}, headers={"HX-Request": "true"})
    body = response.content.decode()
    assert response.status_code == 200 and response["X-Setting"] == "setting-le_chat_console"
    assert "<html" not in body and body.count("hx-swap-oob") == 2 and "Saved." in body
    stale = client.post(url(cast, "le-chat"), opt_in(cast, version=0), headers={"HX-Request": "true"})
    assert stale.status_code == 412 and stale["X-Setting"] == "setting-le_chat_console"
    assert "Not saved." in stale.content.decode()


def _decided(cast: Cast, product: str, member: Member | None = None) -> bool:
    subject = str((member or cast.labs_member).pk) if product == "le_chat" else None
    return decide(Question(str(cast.labs.pk), product, subject), cast.provider).decision.allowed


SCENES = {
    "as it began": lambda cast: None,
    "opted out": opted_out_by_owner,
    "carried over": lambda cast: [
        casting.subscribe(cast.labs, plan, cast.provider)
        for plan in ("le_chat_teams", "le_chat_pro", "ai_studio_experiment")
    ],
    "locked": lambda cast: locks.place_lock(
        organization=cast.labs, product="le_chat", reason="law", reference="§ 1", actor=cast.provider, source="admin"
    ),
    "ended": lambda cast: plans.end_subscription(
        organization=cast.labs, product="le_chat", actor=cast.provider, source="admin"
    ),
    "closed": lambda cast: organizations.close_organization(
        organization=cast.labs, reason="asked", actor=cast.provider, source="admin"
    ),
    "member out": opt_out_as_member,
    "API opted in": lambda cast: choices.choose(
        surface=AI_STUDIO_CONSOLE,
        organization=cast.labs,
        choice="opted_in",
        reason="why not",
        actor=Actor.from_user(cast.owner, confirmed=True),
        source="console",
        version_required=False,
    ),
    "member left": lambda cast: members.remove_member(member=cast.labs_member, actor=cast.provider, source="admin"),
}


@pytest.mark.parametrize("scene", SCENES)
def test_pages__in_every_state__say_what_is_decided(cast: Cast, scene: str) -> None:
    SCENES[scene](cast)
    owner = signed_in(cast, "owner")
    # Of the owner, who has not chosen: only the organization's layer is left to decide.
    own = Member.objects.get(organization=cast.labs, user=cast.owner)
    for name, product in (("le-chat", "le_chat"), ("privacy", "ai_studio")):
        words = in_words(product, allowed=_decided(cast, product, own))
        page = owner.get(url(cast, name)).content.decode()
        assert f'">{words}</p>' in page
        assert page.count('class="state"') == 1
    words = "Your data may be used for training" if _decided(cast, "le_chat") else "Your data is not used for training"
    assert f'">{words}</p>' in signed_in(cast, "member").get(CONTROLS).content.decode()
