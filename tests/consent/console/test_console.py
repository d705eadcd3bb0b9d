"""The console's pages: who sees which, and what all of them have in common."""

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from consent.services import organizations
from tests.support.cast import Cast
from tests.support.console import CONTROLS, signed_in, url
from tests.support.factories import PASSWORD, MemberFactory

pytestmark = pytest.mark.django_db


class Unspeakable:
    """Breaks any page that says it."""

    def __str__(self) -> str:
        raise RuntimeError


def test_organization_page__plain_member__is_shown_the_way_to_their_own_controls(cast: Cast) -> None:
    page = signed_in(cast, "member").get(url(cast, "overview")).content.decode()
    assert f'href="{CONTROLS}"' in page and "Kvasir" not in page


def test_organization_page__external_id__found(cast: Cast) -> None:
    organizations.update_organization(organization=cast.labs, external_id="crm-7", actor=cast.provider, source="admin")
    client = signed_in(cast, "owner")
    assert client.get(reverse("console:overview", args=["external:crm-7"])).status_code == 200


@pytest.mark.parametrize(
    ("role", "goal"),
    [("operator", "/admin/"), ("owner", "overview"), ("auditor", "overview"), ("member", CONTROLS)],
)
def test_home__each_role__leads_where_they_belong(cast: Cast, role: str, goal: str) -> None:
    expected = url(cast, goal) if goal == "overview" else goal
    assert signed_in(cast, role).get("/")["Location"] == expected


def test_home__several_consoles__lists_them_and_no_other(cast: Cast) -> None:
    MemberFactory(organization=cast.brage, user=cast.owner, role="auditor", actor=cast.provider)
    page = signed_in(cast, "owner").get("/", follow=True)
    assert page.redirect_chain == [("/organizations/", 302)]
    assert "Kvasir Labs" in page.content.decode() and "Brage Skaldskap" in page.content.decode()
    MemberFactory(organization=cast.brage, user=cast.member, actor=cast.provider)
    assert "Brage" not in signed_in(cast, "member").get("/organizations/").content.decode()


def test_sign_in__right_and_wrong_password(cast: Cast) -> None:
    client = Client()
    wrong = client.post("/sign-in/", {"login": cast.owner.email, "password": "wrong"})
    assert wrong.status_code == 200 and "_auth_user_id" not in client.session
    right = client.post("/sign-in/", {"login": cast.owner.email, "password": PASSWORD})
    assert (right.status_code, right["Location"]) == (302, "/")
    assert client.get("/sign-out/").status_code == 200  # asks; a link never signs anybody out
    assert client.get("/settings/data-controls/").status_code == 200
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert client.get(url(cast, "overview")).status_code == 302


@pytest.mark.parametrize("name", ["404.html", "403.html", "403_csrf.html", "500.html"])
def test_error_page__nothing_to_go_by__still_drawn(name: str) -> None:
    assert "<h1>" in render_to_string(name)


def test_server_error__page__names_the_reference(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(cast, "owner")
    client.raise_request_exception = False
    monkeypatch.setattr(settings, "PROVIDER_NAME", Unspeakable())
    response = client.get(url(cast, "history"))
    assert response.status_code == 500
    assert f"<code>{response['X-Request-ID']}</code>" in response.content.decode()


def test_templates__nothing_inline() -> None:
    for template in (settings.BASE_DIR / "templates").rglob("*.html"):
        text = template.read_text()
        assert " style=" not in text and "<style" not in text, template
        assert "<script>" not in text and " onclick=" not in text and "hx-on" not in text, template


def test_pages__carry_a_strict_policy(cast: Cast) -> None:
    policy = signed_in(cast, "owner").get(url(cast, "le-chat"))["Content-Security-Policy"]
    directives = {directive.strip() for directive in policy.split(";")}
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= directives
    assert "unsafe" not in policy
