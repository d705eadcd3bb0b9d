"""Where a person is signed in: devices in words, the last use, and signing out of one or of all others."""

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from accounts import session_list, user_agents
from accounts.models import User
from tests.support.cast import Cast
from tests.support.factories import PASSWORD
from tests.support.ledger_guards import changes_nothing
from tests.support.sign_in import sign_in, signed_in

PAGE = "/account/sessions/"
LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
    "Mobile/15E148 Safari/604.1"
)
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 "
    "Safari/605.1.15"
)
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (LINUX, "Chrome on Linux"),
        (LINUX.replace("Chrome/", "HeadlessChrome/"), "Chromium on Linux"),
        (PHONE, "Safari on iOS"),
        (WINDOWS, "Firefox on Windows"),
        (LINUX.replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64") + " Edg/140.0.0.0", "Edge on Windows"),
        (MAC, "Safari on macOS"),
        (
            LINUX.replace("X11; Linux x86_64", "Linux; Android 10; K").replace(" Saf", " Mobile Saf"),
            "Chrome on Android",
        ),
        ("curl/8.1.2", "curl"),
        ("", "A browser that doesn't say which"),
        ("<script>alert(1)</script>", "A browser that doesn't say which"),
    ],
)
def test_user_agent__of_any_browser__in_words(sent: str, told: str) -> None:
    assert user_agents.in_words(sent) == told


def browser(user: User, sent: str, **age: int) -> Client:
    """Somebody signed in by this browser; `seen` and `began` as many seconds ago."""
    client = Client(HTTP_USER_AGENT=sent)
    sign_in(client, user.email)
    session = client.session
    for name, seconds in age.items():
        session[name] -= seconds
    session.save()
    return client


def listed(client: Client) -> list[tuple[str, bool]]:
    return [(device.name, device.current) for device in client.get(PAGE).context["devices"]]


@pytest.mark.django_db
def test_devices__this_one_first_then_by_use(cast: Cast) -> None:
    browser(cast.owner, PHONE, seen=3600)
    browser(cast.owner, WINDOWS, seen=300)
    browser(cast.admin, WINDOWS)
    here = browser(cast.owner, LINUX)
    assert listed(here) == [("Chrome on Linux", True), ("Firefox on Windows", False), ("Safari on iOS", False)]
    page = here.get(PAGE).content.decode().replace("\xa0", " ")
    assert "This device" in page and "Last used 5 minutes ago" in page and "Last used an hour ago" in page
    assert all(each.session_key not in page for each in Session.objects.all())


@pytest.mark.django_db
def test_devices__that_sign_nobody_in_any_more__not_listed(cast: Cast) -> None:
    week = 7 * 86_400
    browser(cast.owner, PHONE, seen=week + 60)
    browser(cast.owner, WINDOWS, began=2 * week + 60)
    gone = browser(cast.owner, WINDOWS)
    Session.objects.filter(pk=gone.session.session_key).delete()
    here = browser(cast.owner, LINUX)
    assert listed(here) == [("Chrome on Linux", True)]


@pytest.mark.django_db
def test_devices__after_a_change_of_password__only_this_one(cast: Cast) -> None:
    there, here = browser(cast.owner, PHONE), browser(cast.owner, LINUX)
    new = "another-long-password-9"
    sent = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert here.post("/account/password/", sent).status_code == 302
    sign_in(here, cast.owner.email, new)
    assert not signed_in(there) and ("Safari on iOS", False) not in listed(here)


@pytest.mark.django_db
def test_device__signed_out__is_so_and_no_other(cast: Cast) -> None:
    phone, windows, here = (browser(cast.owner, sent) for sent in (PHONE, WINDOWS, LINUX))
    other = next(each for each in here.get(PAGE).context["devices"] if each.name == "Safari on iOS")
    assert here.post(PAGE, {"do": "end", "device": str(other.id)}).status_code == 302
    assert [signed_in(each) for each in (phone, windows, here)] == [False, True, True]
    assert ("Safari on iOS", False) not in listed(here)


@pytest.mark.django_db
def test_devices__signed_out_everywhere_else__stays_here(cast: Cast) -> None:
    phone, windows, here = (browser(cast.owner, sent) for sent in (PHONE, WINDOWS, LINUX))
    somebody = browser(cast.admin, PHONE)
    assert here.post(PAGE, {"do": "end-others"}).status_code == 302
    assert [signed_in(each) for each in (phone, windows, here, somebody)] == [False, False, True, True]
    assert listed(here) == [("Chrome on Linux", True)]


@pytest.mark.django_db
@pytest.mark.parametrize("device", ["", "x", "-1", "0", "9" * 30, "their own"])
def test_device__anothers_or_none__404_and_nobody_signed_out(cast: Cast, device: str) -> None:
    somebody, here = browser(cast.admin, PHONE), browser(cast.owner, LINUX)
    if device == "their own":
        device = str(session_list.devices_of(cast.admin, None)[0].id)
    with changes_nothing():
        assert here.post(PAGE, {"do": "end", "device": device}).status_code == 404
    assert signed_in(somebody) and signed_in(here)


@pytest.mark.django_db
def test_device__unknown_act__400(cast: Cast) -> None:
    here = browser(cast.owner, LINUX)
    assert here.post(PAGE, {"do": "dance"}).status_code == 400
    assert signed_in(here)


@pytest.mark.django_db
def test_page__not_signed_in__leads_to_it(client: Client) -> None:
    assert client.get(PAGE)["Location"].startswith("/sign-in/")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("page", "link"),
    [(PAGE, "Sign-in and security"), ("/account/password/", "Sign-in and security"), ("/account/email/", "Profile")],
)
def test_navigation__of_the_accounts_pages__says_where_one_is(cast: Cast, page: str, link: str) -> None:
    links = browser(cast.owner, LINUX).get(page).context["nav"].groups[-1].links
    assert [str(each.label) for each in links if each.current] == [link]
