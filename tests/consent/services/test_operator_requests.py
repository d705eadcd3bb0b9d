"""No operator can make another one, or get into another's account, alone (R19): action × person × state."""

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.test import Client

from accounts.access import Actor, Forbidden
from accounts.models import AddressChange, ApiKey, OutgoingMessage, User
from accounts.operators import second_people
from consent.errors import Invalid, Refused
from consent.models import ConsentEvent, EventKind, OperatorRequest, RequestKind
from consent.services import addresses, operator_requests, people
from tests.support.factories import PASSWORD, AuthenticatorFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import everything
from tests.support.operators import Staff, all_there_is, mailed_to, operators

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
KINDS = ("operator", "reactivated", "link", "second_factors", "address", "cooling_off")
URL = "/admin/consent/operatorrequest/"


@pytest.fixture
def staff() -> Staff:
    return Staff()


def link(user: User) -> str:
    return f"https://portal.example/set/{user.pk}/"


def confirm(request: OperatorRequest, actor: Actor) -> OperatorRequest:
    return operator_requests.confirm(request=request, actor=actor, password_link=link)


# --- What happens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_ask__anything__changes_nothing_and_is_noted(staff: Staff, kind: str) -> None:
    before = everything()
    request = staff.asked(kind)
    assert request.status == "waiting" and operator_requests.waiting().count() == 1
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.actor_id) == (EventKind.ACCESS_REQUEST_MADE, str(staff.asker.pk))
    changed = [table for table, was in zip(everything(), before, strict=True) if table != was]
    assert len(changed) <= 3, "the ledger alone: event, its position to come"
    assert operators() == {f"{name}@provider.example" for name in ("odin", "frigg", "tyr")}
    assert mailed_to() == [] and Authenticator.objects.count() == 1


def test_confirm__new_operator__is_made_and_gets_a_link_and_all_are_told(staff: Staff) -> None:
    request = confirm(staff.asked("operator"), staff.actor("second"))
    person = User.objects.get(email="new@provider.example")
    assert (person.is_staff, person.has_usable_password(), request.subject) == (True, False, person)
    assert mailed_to().count("new@provider.example") == 2 and set(mailed_to()) == operators()
    kinds = set(ConsentEvent.objects.values_list("kind", flat=True))
    assert {EventKind.ACCESS_OPERATOR_MADE, EventKind.ACCESS_REQUEST_CONFIRMED} <= kinds


def test_confirm__former_operator__is_back_with_a_mark_of_now(staff: Staff) -> None:
    request = confirm(staff.asked("reactivated"), staff.actor("second"))
    person = User.objects.get(pk=staff.gone.pk)
    assert person.is_active and person.operator_since is not None and person.operator_since > request.asked_at


def test_confirm__link__is_mailed_to_the_operator_alone(staff: Staff) -> None:
    confirm(staff.asked("link"), staff.actor("second"))
    assert mailed_to() == [staff.subject.email]


def test_confirm__second_factors__are_gone_and_credentials_are_new(staff: Staff) -> None:
    request = confirm(staff.asked("second_factors"), staff.actor("second"))
    person = User.objects.get(pk=staff.subject.pk)
    assert not Authenticator.objects.exists()
    assert person.credentials_at is not None and person.credentials_at > request.asked_at


def test_confirm__address__old_one_is_told_and_the_new_one_gets_no_link(staff: Staff, client: Client) -> None:
    confirm(staff.asked("address"), staff.actor("second"))
    person = User.objects.get(pk=staff.subject.pk)
    assert (person.email, mailed_to()) == ("tyr@elsewhere.example", ["tyr@provider.example"])
    assert client.post("/account/reset/", {"email": person.email}).status_code == 302
    with pytest.raises(Refused):
        operator_requests.ask(kind="link", subject=person, actor=staff.actor("asker"), reason="x")
    with pytest.raises(Refused):
        addresses.ask(actor=Actor.from_user(person, confirmed=True), email="third@provider.example", link=str)
    assert mailed_to() == ["tyr@provider.example"]
    QuerySet(User).filter(pk=person.pk).update(no_links_until=dt.datetime(2001, 1, 1, tzinfo=dt.UTC))
    assert client.post("/account/reset/", {"email": person.email}).status_code == 302
    assert mailed_to() == ["tyr@provider.example", "tyr@elsewhere.example"]


# --- Who may not, and when not ---------------------------------------------------------------------------------------


def expired(request: OperatorRequest, _staff: Staff) -> None:
    OperatorRequest.objects.filter(pk=request.pk).update(expires_at=dt.datetime(2001, 1, 1, tzinfo=dt.UTC))


def withdrawn(request: OperatorRequest, staff: Staff) -> None:
    operator_requests.decline(request=request, actor=staff.actor("asker"))


def refused(request: OperatorRequest, staff: Staff) -> None:
    operator_requests.decline(request=request, actor=staff.actor("second"))


def confirmed(request: OperatorRequest, staff: Staff) -> None:
    confirm(request, staff.actor("second"))


def asker_demoted(_request: OperatorRequest, staff: Staff) -> None:
    people.end_operator(person=staff.asker, actor=staff.actor("second"))


def asker_demoted_and_back(request: OperatorRequest, staff: Staff) -> None:
    asker_demoted(request, staff)
    User.objects.filter(pk=staff.asker.pk).update(is_staff=True)


def nothing(_request: OperatorRequest, _staff: Staff) -> None:
    pass


def second_demoted(_request: OperatorRequest, staff: Staff) -> None:
    people.end_operator(person=staff.second, actor=staff.actor("asker"))


def second_got_a_password(_request: OperatorRequest, staff: Staff) -> None:
    person = User.objects.get(pk=staff.second.pk)
    person.set_password("another one of nobody")
    person.save()


def second_got_a_factor(_request: OperatorRequest, staff: Staff) -> None:
    AuthenticatorFactory(user=staff.second, type="webauthn", data={})


@contextlib.contextmanager
def refused_as(error: type[Exception], code: str) -> Iterator[None]:
    """Raises just this, and stores nothing."""
    before = all_there_is()
    with pytest.raises(error) as caught, transaction.atomic():
        yield
    assert type(caught.value) is error
    assert getattr(caught.value, "code", "") == code
    assert all_there_is() == before


State = Callable[[OperatorRequest, Staff], None]
# what has happened, who confirms → status
REFUSALS: dict[str, tuple[State, str, int]] = {
    "one's own": (nothing, "asker", 403),
    "nobody of the operators": (nothing, "nobody", 403),
    "demoted since": (second_demoted, "second", 403),
    "a password set since": (second_got_a_password, "second", 403),
    "a second factor added since": (second_got_a_factor, "second", 403),
    "ended": (expired, "second", 409),
    "withdrawn": (withdrawn, "second", 409),
    "refused": (refused, "second", 409),
    "confirmed already": (confirmed, "second", 409),
    "its asker demoted": (asker_demoted, "second", 409),
    "its asker demoted and back": (asker_demoted_and_back, "second", 409),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("kind", KINDS)
def test_confirm__not_by_them_or_not_now__is_refused_and_changes_nothing(staff: Staff, kind: str, case: str) -> None:
    state, who, status = REFUSALS[case]
    request = staff.asked(kind)
    browser = staff.client(who)  # signed in before
    state(request, staff)
    if who in ("second", "nobody"):
        browser = staff.client(who)
    before = all_there_is()
    assert browser.post(f"{URL}{request.pk}/verbs/confirm/").status_code == status
    assert all_there_is() == before


@pytest.mark.parametrize("kind", ["link", "second_factors", "address"])
def test_confirm__by_its_subject__is_refused(staff: Staff, kind: str) -> None:
    request = staff.asked(kind)
    client, before = staff.client("subject"), all_there_is()
    assert client.post(f"{URL}{request.pk}/verbs/confirm/").status_code == 403
    assert all_there_is() == before


@pytest.mark.parametrize("kind", KINDS)
def test_confirm__twice_with_what_was_read_before__second_is_refused(staff: Staff, kind: str) -> None:
    request = staff.asked(kind)
    stale = OperatorRequest.objects.get(pk=request.pk)
    confirm(request, staff.actor("second"))
    before = all_there_is()
    actor = staff.actor("asker" if kind in ("link", "second_factors", "address") else "subject")
    with pytest.raises((Refused, Forbidden)), transaction.atomic():
        confirm(stale, actor)
    assert all_there_is() == before


def test_requests__by_a_key__are_forbidden(staff: Staff) -> None:
    key, _text = issue_key("Sync", list(ApiKey.Scope.values), issued_by=staff.second)
    request, actor = staff.asked("link"), Actor.from_key(key)
    before = all_there_is()
    for act in (
        lambda: confirm(request, actor),
        lambda: operator_requests.decline(request=request, actor=actor),
        lambda: operator_requests.ask(kind="link", subject=staff.second, actor=actor, reason="x"),
        lambda: people.deactivate(person=staff.nobody, actor=actor),
        lambda: people.end_operator(person=staff.subject, actor=actor),
        lambda: people.rename(person=staff.nobody, name="x", actor=actor),
    ):
        with pytest.raises(Forbidden), transaction.atomic():
            act()
    assert all_there_is() == before


BAD_WISHES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no reason": ({"kind": "operator", "email": "n@p.example", "reason": " "}, Invalid, "required"),
    "unknown kind": ({"kind": "throne"}, Invalid, "unknown_kind"),
    "no address": ({"kind": "operator", "email": "nonsense"}, Invalid, "invalid"),
    "an operator already": ({"kind": "operator", "email": "frigg@provider.example"}, Refused, "status"),
    "nobody": ({"kind": "link"}, Invalid, "required"),
}


@pytest.mark.parametrize("case", BAD_WISHES)
def test_ask__what_cannot_be__is_refused_by_name_and_kept_nowhere(staff: Staff, case: str) -> None:
    wish, error, code = BAD_WISHES[case]
    with refused_as(error, code):
        operator_requests.ask(actor=staff.actor("asker"), **{"reason": "x"} | wish)
    assert not OperatorRequest.objects.exists()


def test_ask__the_same_twice__is_refused(staff: Staff) -> None:
    for kind in KINDS:
        staff.asked(kind)
        with refused_as(Refused, "asked"):
            staff.asked(kind)
    assert OperatorRequest.objects.count() == len(KINDS)


@pytest.mark.parametrize("name", ["asker", "subject"])
def test_database__confirmer_who_asked_or_is_meant__is_refused(staff: Staff, name: str) -> None:
    request = staff.asked("link")
    person, at = getattr(staff, name), dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    changes = {"confirmed_by": person, "decided_by": person, "decided_at": at, "status": "confirmed"}
    with pytest.raises(IntegrityError, match="operator_request_confirmer"), transaction.atomic():
        OperatorRequest.objects.filter(pk=request.pk).update(**changes)
    with pytest.raises(IntegrityError, match="operator_request_confirmed_by_somebody"), transaction.atomic():
        OperatorRequest.objects.filter(pk=request.pk).update(**changes | {"confirmed_by": None})


# --- No way round on the screens -------------------------------------------------------------------------------------

USERS = "/admin/accounts/user/"
EVERYTHING = {
    "email": "new@provider.example", "name": "New", "is_staff": "on", "is_active": "on", "is_superuser": "on",
    "password": "a password of the asker's", "password1": "a password of the asker's",
    "password2": "a password of the asker's", "new_password1": "a password of the asker's",
    "new_password2": "a password of the asker's", "usable_password": "true", "groups": "1", "user_permissions": "1",
    "no_links_until": "", "operator_since": "2001-01-01", "credentials_at": "2001-01-01",
}  # fmt: skip


def test_add_page__with_all_there_is__makes_a_person_without_mark_or_password(staff: Staff) -> None:
    before = operators()
    assert staff.client("asker").post(f"{USERS}add/", EVERYTHING).status_code == 302
    person = User.objects.get(email="new@provider.example")
    assert (person.is_staff, person.is_superuser, person.has_usable_password()) == (False, False, False)
    assert operators() == before and mailed_to() == [person.email]


@pytest.mark.parametrize("name", ["nobody", "gone"])
def test_change_page__mark_or_reactivation__is_refused(staff: Staff, name: str) -> None:
    person, client = getattr(staff, name), staff.client("asker")
    before = all_there_is()
    answer = client.post(f"{USERS}{person.pk}/change/", EVERYTHING)
    assert answer.status_code == 200 and "second operator" in answer.content.decode()
    assert all_there_is() == before


def test_change_page__of_an_operator__changes_the_name_alone(staff: Staff) -> None:
    before = User.objects.filter(pk=staff.subject.pk).values().get()
    assert staff.client("asker").post(f"{USERS}{staff.subject.pk}/change/", EVERYTHING).status_code == 302
    after = User.objects.filter(pk=staff.subject.pk).values().get()
    assert after == before | {"name": "New"}


@pytest.mark.parametrize("path", ["password/", "change/password/", "../password/"])
def test_password_pages__of_others__are_not_there(staff: Staff, path: str) -> None:
    client, before = staff.client("asker"), all_there_is()
    answer = client.post(f"{USERS}{staff.subject.pk}/{path}", EVERYTHING)
    assert answer.status_code in (302, 404)
    assert all_there_is() == before


def test_password_page__of_the_admin_site__is_the_portals_own(staff: Staff) -> None:
    client, before = staff.client("asker"), all_there_is()
    data = EVERYTHING | {"old_password": PASSWORD}
    for path in ("password_change/", "password_change/done/"):
        answer = client.post(f"/admin/{path}", data)
        assert (answer.status_code, answer["Location"]) == (302, "/account/password/")
    assert all_there_is() == before


@pytest.mark.parametrize("path", ["password-link/", "second-factors/"])
def test_way_in__of_an_operator__is_asked_for_and_not_given(staff: Staff, path: str) -> None:
    client, before = staff.client("asker"), everything()
    assert client.post(f"{USERS}{staff.subject.pk}/{path}").status_code == 400, "without a reason"
    assert everything() == before and not OperatorRequest.objects.exists()
    answer = client.post(f"{USERS}{staff.subject.pk}/{path}", {"reason": "lost"})
    request = OperatorRequest.objects.get()
    assert answer["Location"] == f"{URL}{request.pk}/change/"
    assert Authenticator.objects.count() == 1 and mailed_to() == []


def test_way_in__of_anybody_else__one_operator_is_enough(staff: Staff) -> None:
    AuthenticatorFactory(user=staff.nobody, type="totp", data={"secret": "x"})
    client = staff.client("asker")
    for path in ("password-link/", "second-factors/"):
        assert client.post(f"{USERS}{staff.nobody.pk}/{path}").status_code == 302
    assert mailed_to() == [staff.nobody.email]
    assert not Authenticator.objects.filter(user=staff.nobody).exists()


def test_deactivate_and_end__oneself__is_refused(staff: Staff) -> None:
    before = all_there_is()
    for act in (people.deactivate, people.end_operator):
        with refused_as(Refused, "oneself"):
            act(person=staff.asker, actor=staff.actor("asker"))
    assert all_there_is() == before


def test_pages__list_and_request__count_and_say_who_can(staff: Staff) -> None:
    request = staff.asked("link")
    page = staff.client("second").get(URL).content.decode()
    assert "1 waiting" in page and "tyr@provider.example" in page
    own = staff.client("asker").get(f"{URL}{request.pk}/change/").content.decode()
    assert 'id="request-confirm"' not in own and "Withdraw" in own and "another operator" in own
    others = staff.client("second").get(f"{URL}{request.pk}/change/").content.decode()
    assert 'id="request-confirm"' in others and "as agreed" in others and "Refuse" in others
    assert staff.client("nobody").get(f"{URL}{request.pk}/change/").status_code == 403
    assert staff.client("second").get(f"{URL}add/?kind=address&person={staff.subject.pk}").status_code == 200
    assert staff.client("asker").post(f"{URL}{request.pk}/verbs/decline/").status_code == 302
    assert OperatorRequest.objects.get().status == "withdrawn"


def test_ask_page__new_operator__is_asked_for(staff: Staff) -> None:
    client = staff.client("asker")
    data = {"kind": "operator", "person": "New@Provider.example", "name": "New", "reason": "joins the team"}
    assert client.post(f"{URL}add/", data).status_code == 302
    assert OperatorRequest.objects.get().details == {"email": "new@provider.example", "name": "New"}
    assert (
        client.post(f"{URL}add/", {"kind": "link", "person": "who@provider.example", "reason": "x"}).status_code == 400
    )
    assert (
        client.post(f"{URL}add/", {"kind": "key", "person": "new@provider.example", "reason": "x"}).status_code == 400
    )


def test_ask_page__address_that_somebody_has__is_refused_beside_its_field(staff: Staff) -> None:
    client = staff.client("asker")
    before = all_there_is()
    page = client.get(f"{URL}add/?kind=address&person={staff.subject.pk}").content.decode()
    assert "tyr@provider.example" in page
    data = {"kind": "address", "person": staff.subject.email, "new_address": staff.nobody.email, "reason": "moved"}
    answer = client.post(f"{URL}add/", data)
    assert answer.status_code == 409
    assert list(answer.context["form"].errors) == ["new_address"]
    assert all_there_is() == before


def test_pages__what_they_do_not_offer__is_refused_and_changes_nothing(staff: Staff) -> None:
    request = staff.asked("link")
    asker, second = staff.client("asker"), staff.client("second")
    before = all_there_is()
    assert second.post(f"{URL}{request.pk}/change/", {"status": "confirmed"}).status_code == 405
    assert second.post(f"{URL}{request.pk}/verbs/forget/").status_code == 404
    own = asker.post(f"{URL}{request.pk}/verbs/confirm/")
    assert (own.status_code, "another operator" in own.content.decode()) == (403, True)
    assert all_there_is() == before


def test_pages__old_session__confirms_who_is_there_first(staff: Staff, settings: Any) -> None:
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = True
    request, client = staff.asked("operator"), staff.client("second")
    before = all_there_is()
    wish = {"kind": "link", "person": staff.subject.email, "reason": "x"}
    for path in (f"{URL}{request.pk}/verbs/confirm/", f"{URL}add/", f"{USERS}{staff.subject.pk}/second-factors/"):
        answer = client.post(path, wish)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/account/confirm/")
    assert all_there_is() == before


# --- One's own address -----------------------------------------------------------------------------------------------


def links() -> dict[str, str]:
    found = {}
    for message in OutgoingMessage.objects.order_by("pk"):
        path = re.search(r"/account/email/\S+", message.body)
        assert path is not None
        found[message.recipient] = path.group()
    return found


def test_own_address__both_links_used_by_the_person__changes_it(staff: Staff) -> None:
    client = staff.client("nobody")
    assert client.get("/account/email/").status_code == 200
    assert client.post("/account/email/", {"email": "Ada@Elsewhere.example"}).status_code == 302
    sent = links()
    assert set(sent) == {"ada@kvasir.example", "ada@elsewhere.example"}
    for address in ("ada@elsewhere.example", "ada@kvasir.example"):
        assert client.get(sent[address]).status_code == 200
        assert User.objects.get(pk=staff.nobody.pk).email == "ada@kvasir.example", "a look changes nothing"
        assert staff.client("second").post(sent[address]).status_code == 404, "somebody else, signed in"
        assert client.post(sent[address]).status_code == 302
    person = User.objects.get(pk=staff.nobody.pk)
    assert person.email == "ada@elsewhere.example" and person.no_links_until is None
    assert ConsentEvent.objects.latest("pk").kind == EventKind.ACCESS_ADDRESS_CHANGED
    assert client.post(sent["ada@kvasir.example"]).status_code == 404


@pytest.mark.parametrize("only", ["ada@kvasir.example", "ada@elsewhere.example"])
def test_own_address__one_link_however_often__changes_nothing(staff: Staff, only: str) -> None:
    addresses.ask(
        actor=Actor.from_user(staff.nobody, confirmed=True),
        email="ada@elsewhere.example",
        link=lambda s: f"https://p.example/account/email/{s}/",
    )
    client = staff.client("nobody")
    for _again in range(2):
        assert client.post(links()[only]).status_code == 302
    assert User.objects.get(pk=staff.nobody.pk).email == "ada@kvasir.example"


def test_own_address__somebodys_already__is_told_only_after_both_links(staff: Staff) -> None:
    client = staff.client("nobody")
    assert client.post("/account/email/", {"email": staff.second.email}).status_code == 302
    sent = links()
    assert client.post(sent["ada@kvasir.example"]).status_code == 302
    assert client.post(sent[staff.second.email]).status_code == 409
    assert User.objects.get(pk=staff.nobody.pk).email == "ada@kvasir.example"


def test_own_address__old_session_or_stranger__is_asked_who_is_there(
    staff: Staff, settings: Any, client: Client
) -> None:
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = True
    answer = staff.client("nobody").post("/account/email/", {"email": "ada@elsewhere.example"})
    assert answer["Location"].startswith("/account/confirm/") and mailed_to() == []
    assert client.post("/account/email/", {"email": "x@y.example"})["Location"].startswith("/sign-in/")
    assert not AddressChange.objects.exists()


def test_person__added_and_mailed_a_link__by_one_operator(staff: Staff) -> None:
    about: dict[str, Any] = {"actor": staff.actor("asker"), "password_link": link}
    person = people.create_person(email="Eve@kvasir.example", name="Eve", **about)
    assert (person.is_staff, mailed_to()) == (False, ["eve@kvasir.example"])
    people.mail_link(person=person, **about)
    assert mailed_to() == ["eve@kvasir.example"] * 2
    with refused_as(Refused, "exists"):
        people.create_person(email="eve@kvasir.example", name="Eve", **about)
    with refused_as(Refused, "second_person"):
        people.mail_link(person=staff.subject, **about)
    people.deactivate(person=person, actor=about["actor"])
    with refused_as(Refused, "inactive"):
        people.mail_link(person=person, **about)


def test_request__past_its_end__waits_for_nobody(staff: Staff) -> None:
    request = staff.asked("link")
    assert not operator_requests.has_ended(request)
    expired(request, staff)
    request.refresh_from_db()
    assert operator_requests.has_ended(request) and not operator_requests.waiting().exists()
    staff.asked("link")  # can be asked for again


def test_kinds__all_of_them__stand_in_the_table_of_acts() -> None:
    assert {"operator", "link", "second_factors", "address", "cooling_off"} == set(RequestKind.values)


def test_second_people__of_what_nobody_has_asked_for__nobody(staff: Staff) -> None:
    assert second_people(asked_at=None, involved=()) == []
