"""Sign-in attempts: wrong ones never lock out anybody else, and guessing from many addresses is limited too."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.core import signing
from django.test import Client

from accounts import attempts
from accounts.deactivation import end_sessions, remove_second_factors
from accounts.models import OutgoingMessage, RateCount, User
from tests.support.cast import Cast
from tests.support.factories import PASSWORD
from tests.support.sign_in import SECRET, code, sign_in, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
AUTHENTICATE, CONFIRM = "/account/second-factor/authenticate/", "/account/confirm/"
MANY = attempts.PASSWORD.everybody // attempts.PASSWORD.own + 1


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of every window of counting, so that no test runs over the end of one."""
    now = time.time() // 3600 * 3600 + 1830
    monkeypatch.setattr(time, "time", lambda: now)


def at(place: str) -> Client:
    return Client(REMOTE_ADDR=place)


def places(number: int, net: str = "203.0.113") -> Iterator[Client]:
    for each in range(number):
        yield at(f"{net}.{each + 1}")


def device(user: User, place: str = "192.0.2.1") -> Client:
    """A browser in which this person has signed in before, and out again."""
    client = at(place)
    sign_in(client, user.email)
    if "device" not in client.cookies:
        client.post(AUTHENTICATE, {"code": code()})
        time_of_code_is_over()
    client.post("/sign-out/")
    assert "device" in client.cookies
    return client


def time_of_code_is_over() -> None:
    """A code is good once; forget that it was used, as a minute later."""
    from django.core.cache import cache

    cache.clear()


def wrong(client: Client, email: str, times: int = attempts.PASSWORD.own) -> list[int]:
    return [sign_in(client, email, "wrong").status_code for _ in range(times)]


def tried_from_everywhere(email: str) -> None:
    """What the attempts of many places leave behind, without a hundred of them; one test below makes them all."""
    wrong(at("203.0.113.1"), email, 1)
    counted = RateCount.objects.filter(subject__regex=r"^password:[0-9a-f]{32}$", count__gt=0)
    assert counted.update(count=attempts.PASSWORD.everybody) == 1
    assert wrong(at("203.0.113.2"), email, 1) == [429]


def enters(client: Client, email: str, password: str = PASSWORD) -> bool:
    sign_in(client, email, password)
    return signed_in(client)


# --- Who is locked out ---------------------------------------------------------------------------------------------


def test_wrong_passwords__of_somebody_elsewhere__lock_out_only_them(cast: Cast) -> None:
    attacker = at("203.0.113.1")
    assert wrong(attacker, cast.owner.email, 7) == [200] * 5 + [429] * 2
    assert not enters(attacker, cast.owner.email)
    assert enters(at("192.0.2.1"), cast.owner.email)


def test_wrong_passwords__about_one__hold_up_nobody_else_in_the_same_place(cast: Cast) -> None:
    wrong(at("203.0.113.1"), cast.owner.email)
    assert enters(at("203.0.113.1"), cast.admin.email)


def test_known_device__attacker_in_the_same_place__passes(cast: Cast) -> None:
    mine = device(cast.owner)
    wrong(at("192.0.2.1"), cast.owner.email, 12)
    assert not enters(at("192.0.2.1"), cast.owner.email)
    assert enters(mine, cast.owner.email)


def test_wrong_passwords__from_everywhere__bounded__known_device_passes(cast: Cast) -> None:
    mine = device(cast.owner)
    tried = [status for attacker in places(MANY) for status in wrong(attacker, cast.owner.email)]
    assert tried == [200] * attempts.PASSWORD.everybody + [429] * (len(tried) - attempts.PASSWORD.everybody)
    assert not enters(at("198.51.100.1"), cast.owner.email)
    assert enters(mine, cast.owner.email)
    assert enters(at("198.51.100.1"), cast.admin.email)


def test_wrong_passwords__from_everywhere__whoever_has_the_mailbox_gets_in(cast: Cast) -> None:
    tried_from_everywhere(cast.owner.email)
    mine, new = at("192.0.2.1"), "another password of nobody in particular"
    mine.post("/account/reset/", {"email": cast.owner.email})
    link = re.search(r"http://testserver(/account/reset/\S+)", OutgoingMessage.objects.get().body)
    assert link
    mine.post(mine.get(link[1])["Location"], {"password1": new, "password2": new})
    tried_from_everywhere(cast.owner.email)
    assert enters(mine, cast.owner.email, new)


def test_one_place__beyond_its_own_bound__does_not_use_up_everybodys(cast: Cast) -> None:
    wrong(at("203.0.113.1"), cast.owner.email, 9)
    counted = RateCount.objects.filter(subject__startswith="password:").order_by("count")
    assert list(counted.values_list("count", flat=True)) == [5, 9]
    assert enters(at("192.0.2.1"), cast.owner.email)


def test_right_passwords__are_not_counted(cast: Cast) -> None:
    for _ in range(attempts.PASSWORD.own + 2):
        assert enters(at("192.0.2.1"), cast.owner.email)
    assert not RateCount.objects.filter(subject__startswith="password:", count__gt=0).exists()


@pytest.mark.parametrize("spelled", ["ADA@KVASIR.EXAMPLE", " ada@kvasir.example", "ada@ｋvasir.example"])
def test_spelling__of_the_same_address__is_the_same_target(cast: Cast, spelled: str) -> None:
    attacker = at("203.0.113.1")
    wrong(attacker, cast.owner.email, 4)
    sign_in(attacker, spelled, "wrong")
    assert not enters(attacker, cast.owner.email)


def test_ipv6__addresses_of_one_network__are_one_place(cast: Cast) -> None:
    for number in range(attempts.PASSWORD.own):
        wrong(at(f"2001:db8::{number + 1}"), cast.owner.email, 1)
    assert wrong(at("2001:db8::ffff:1"), cast.owner.email, 1) == [429]
    assert enters(at("2001:db8:1::1"), cast.owner.email)


def test_unknown_address__answers_as_a_known_one(cast: Cast) -> None:
    there, not_there = (wrong(at("203.0.113.1"), email, 7) for email in (cast.owner.email, "nobody@kvasir.example"))
    assert there == not_there


def test_counts__hold_no_address(cast: Cast) -> None:
    wrong(at("203.0.113.1"), cast.owner.email)
    assert RateCount.objects.exists()
    assert not [each for each in RateCount.objects.values_list("subject", flat=True) if "ada" in each]


# --- Whose device --------------------------------------------------------------------------------------------------


def locked_out_but_for(cast: Cast, client: Client) -> bool:
    """Whether this browser passes what others' attempts closed."""
    RateCount.objects.all().delete()
    tried_from_everywhere(cast.owner.email)
    return enters(client, cast.owner.email)


def test_device__of_another_account__passes_nothing(cast: Cast) -> None:
    assert not locked_out_but_for(cast, device(cast.outsider))


def test_device__cookie_of_another_account_changed_to_be_mine__passes_nothing(cast: Cast) -> None:
    client = device(cast.outsider)
    [entry] = signing.loads(client.cookies["device"].value, salt="accounts.devices")
    own = [[str(cast.owner.pk), *entry[1:]]]
    for forged in (
        signing.dumps(own, salt="accounts.devices", key="another key than the portal's"),
        signing.dumps(own, salt="another use of the portal's key"),
        signing.dumps(own, salt="accounts.devices"),  # of somebody with another password
        "nonsense",
        signing.dumps("nonsense", salt="accounts.devices"),
        signing.dumps([["x"]], salt="accounts.devices"),
    ):
        client.cookies["device"] = forged
        assert not locked_out_but_for(cast, client), forged


def change_password(user: User) -> None:
    user.set_password("another password of nobody in particular")
    user.save()
    user.set_password(PASSWORD)  # the same again has another hash
    user.save()


def deactivate_and_back(user: User) -> None:
    end_sessions(user)


@pytest.mark.parametrize("ends", [change_password, deactivate_and_back, remove_second_factors])
def test_device__ended__is_unknown(cast: Cast, ends: Any) -> None:
    client = device(cast.owner)
    ends(User.objects.get(pk=cast.owner.pk))
    assert not locked_out_but_for(cast, client)


@pytest.mark.parametrize(("days", "passes"), [(89, True), (91, False)])
def test_device__too_old__is_unknown(cast: Cast, monkeypatch: pytest.MonkeyPatch, days: int, passes: bool) -> None:
    client, now = device(cast.owner), time.time()
    monkeypatch.setattr(time, "time", lambda: now + days * 86_400)
    client.cookies["device"]["max-age"] = ""
    assert locked_out_but_for(cast, client) is passes


def test_device__own_wrong_passwords__bounded_too(cast: Cast) -> None:
    client = device(cast.owner)
    assert wrong(client, cast.owner.email, 7) == [200] * 5 + [429] * 2
    assert enters(at("192.0.2.1"), cast.owner.email)


def test_device__first_factor_alone__is_none(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)
    client = at("192.0.2.1")
    sign_in(client, cast.owner.email)
    assert "device" not in client.cookies
    client.post(AUTHENTICATE, {"code": code()})
    assert signed_in(client) and client.cookies["device"]["httponly"]


def test_device__of_several_people__each_passes(cast: Cast) -> None:
    client = device(cast.owner)
    sign_in(client, cast.admin.email)
    client.post("/sign-out/")
    assert locked_out_but_for(cast, client)


# --- Second factors and confirming ---------------------------------------------------------------------------------


def wrong_codes(client: Client, email: str, times: int = attempts.CODE.own) -> None:
    sign_in(client, email)
    for _ in range(times):
        client.post(AUTHENTICATE, {"code": "000000"})


def test_wrong_codes__of_who_knows_the_password__lock_out_only_them(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)
    wrong_codes(at("203.0.113.1"), cast.owner.email)
    for place, expected in (("203.0.113.1", False), ("192.0.2.1", True)):
        client = at(place)
        sign_in(client, cast.owner.email)
        client.post(AUTHENTICATE, {"code": code()})
        assert signed_in(client) is expected


def test_wrong_codes__from_everywhere__bounded__known_device_passes(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)
    mine = device(cast.owner)
    for attacker in places(attempts.CODE.everybody // attempts.CODE.own):
        wrong_codes(attacker, cast.owner.email)
    for client, expected in ((at("198.51.100.1"), False), (mine, True)):
        sign_in(client, cast.owner.email)
        client.post(AUTHENTICATE, {"code": code()})
        assert signed_in(client) is expected


def test_confirming__others_tried_from_everywhere__open_session_confirms(cast: Cast, settings: Any) -> None:
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = True
    mine = at("192.0.2.1")
    mine.force_login(cast.owner)
    tried_from_everywhere(cast.owner.email)
    page = "/account/second-factor/totp/activate/"
    assert mine.get(page)["Location"].startswith(CONFIRM)
    mine.post(CONFIRM, {"password": PASSWORD})
    assert mine.get(page).status_code == 200


def test_confirming__wrong_passwords_in_an_open_session__bounded(cast: Cast, settings: Any) -> None:
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = True
    left_open, elsewhere = at("192.0.2.1"), at("192.0.2.1")
    for client in (left_open, elsewhere):
        client.force_login(cast.owner)
    for _ in range(attempts.PASSWORD.own):
        left_open.post(CONFIRM, {"password": "wrong"})
    page = "/account/second-factor/totp/activate/"
    for client, status in ((left_open, 302), (elsewhere, 200)):
        client.post(CONFIRM, {"password": PASSWORD})
        assert client.get(page).status_code == status


# --- Mail ------------------------------------------------------------------------------------------------------------


def ask_for_links(client: Client, email: str, times: int) -> list[tuple[int, str]]:
    answers = [client.post("/account/reset/", {"email": email}) for _ in range(times)]
    return [(answer.status_code, answer["Location"]) for answer in answers]


def test_reset__asked_again_and_again__few_messages_and_the_same_answer(cast: Cast) -> None:
    answers = ask_for_links(at("203.0.113.1"), cast.owner.email, 9)
    assert set(answers) == {(302, "/account/reset/sent/")}
    assert OutgoingMessage.objects.count() == attempts.RESET.own
    assert ask_for_links(at("203.0.113.2"), "nobody@kvasir.example", 9) == answers


def test_reset__asked_from_everywhere__bounded__known_device_still_gets_one(cast: Cast) -> None:
    mine = device(cast.owner)
    for attacker in places(9):
        ask_for_links(attacker, cast.owner.email, 4)
    assert OutgoingMessage.objects.filter(recipient=cast.owner.email).count() == attempts.RESET.everybody
    ask_for_links(mine, cast.owner.email, 1)
    assert OutgoingMessage.objects.filter(recipient=cast.owner.email).count() == attempts.RESET.everybody + 1
    ask_for_links(at("203.0.113.1"), cast.admin.email, 1)
    assert OutgoingMessage.objects.filter(recipient=cast.admin.email).exists()
