"""A person's profile: name, language, time zone, own address; and what these do on pages, in files and in mails."""

import dataclasses
import datetime as dt
import json
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import translation
from django.utils.translation import gettext

from accounts.access import Actor, Forbidden
from accounts.fields import rfc3339
from accounts.models import AddressChange, OutgoingMessage, User
from consent.errors import Invalid
from consent.models import ConsentEvent
from consent.services import addresses, people, profile
from tests.support.cast import Cast
from tests.support.console import opted_out_by_owner, signed_in, url
from tests.support.factories import PASSWORD, UserFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing

pytestmark = pytest.mark.django_db
PROFILE = "/settings/profile/"
GIVEN = {"name": "Ada L.", "language": "fr", "time_zone": "Europe/Paris"}


def chosen(person: User, **fields: str) -> User:
    User.objects.filter(pk=person.pk).update(**fields)
    person.refresh_from_db()
    return person


# --- The page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "admin", "auditor", "member", "operator", "outsider"])
def test_profile__everybody__changes_their_own(cast: Cast, role: str) -> None:
    client, person = signed_in(cast, role), getattr(cast, role)
    before = ConsentEvent.objects.count()
    assert client.post(PROFILE, GIVEN).status_code == 302
    person.refresh_from_db()
    assert (person.name, person.language, person.time_zone) == ("Ada L.", "fr", "Europe/Paris")
    assert ConsentEvent.objects.count() == before  # the ledger holds no names
    page = client.get(PROFILE).content.decode()
    assert 'lang="fr"' in page and 'value="Ada L."' in page
    assert '<option value="Europe/Paris" selected>Paris</option>' in page


def test_profile__not_signed_in__leads_to_it(client: Client) -> None:
    assert client.post(PROFILE, GIVEN)["Location"].startswith("/sign-in/")


@pytest.mark.parametrize(
    "wrong", [{"language": "xx"}, {"time_zone": "No/Such"}, {"time_zone": "US/Pacific"}, {"name": "a\u202eb"}]
)
def test_profile__what_can_not_be__400_beside_the_field_and_nothing_changed(cast: Cast, wrong: dict[str, str]) -> None:
    client, name = signed_in(cast, "owner"), cast.owner.name
    with changes_nothing():
        answer = client.post(PROFILE, {**GIVEN, **wrong})
    assert answer.status_code == 400
    assert list(answer.context["form"].errors) == list(wrong)
    cast.owner.refresh_from_db()
    assert (cast.owner.name, cast.owner.language, cast.owner.time_zone) == (name, "", "")


def test_profile__by_key_or_with_nonsense__refused(cast: Cast) -> None:
    key = Actor.from_key(issue_key("Sync", ["consent:read"], organization=cast.labs, issued_by=cast.owner)[0])
    with pytest.raises(Forbidden):
        profile.change(actor=key, name="x", language="", time_zone="")
    own = Actor.from_user(cast.owner)
    with pytest.raises(Invalid):
        profile.choose_language(actor=own, language="xx")
    with pytest.raises(Invalid):
        profile.change(actor=own, name="Ada", language="", time_zone="GB")


# --- Their own address ------------------------------------------------------------------------------------------------


def test_address__asked_for__shows_what_is_pending_until_it_ends(cast: Cast) -> None:
    secrets: list[str] = []
    client = signed_in(cast, "owner")
    assert "not yet" not in client.get(PROFILE).content.decode()
    own = Actor.from_user(cast.owner, confirmed=True)
    addresses.ask(actor=own, email="new@kvasir.example", link=lambda secret: secrets.append(secret) or "")  # type: ignore[func-returns-value]
    for page in (PROFILE, "/account/email/"):
        told = client.get(page).content.decode()
        assert told.count("not yet") == 2 and "new@kvasir.example" in told
    addresses.confirm(user=cast.owner, secret=secrets[0])
    told = client.get(PROFILE).content.decode()
    assert told.count("not yet") == 1 and "confirmed on" in told
    AddressChange.objects.update(expires_at=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1))
    assert "new@kvasir.example" not in client.get(PROFILE).content.decode()


# --- Language ---------------------------------------------------------------------------------------------------------


def test_switch__signed_in__is_stored_and_holds_in_every_browser(cast: Cast) -> None:
    signed_in(cast, "owner").post("/language/", {"language": "fr", "next": "/"})
    cast.owner.refresh_from_db()
    assert cast.owner.language == "fr"
    answer = signed_in(cast, "owner").get(PROFILE, headers={"Accept-Language": "en"})
    assert 'lang="fr"' in answer.content.decode() and answer["Content-Language"] == "fr"


@pytest.mark.parametrize("code", ["", "xx"])
def test_switch__unknown_language__stores_nothing(cast: Cast, code: str) -> None:
    signed_in(cast, "owner").post("/language/", {"language": code, "next": "/"})
    cast.owner.refresh_from_db()
    assert cast.owner.language == ""


def test_switch__not_signed_in__is_this_browsers(client: Client) -> None:
    client.post("/language/", {"language": "fr", "next": "/"})
    assert 'lang="fr"' in client.get("/sign-in/").content.decode()
    assert not User.objects.exclude(language="").exists()


def test_language__of_one__is_not_the_next_ones(cast: Cast) -> None:
    chosen(cast.owner, **{k: v for k, v in GIVEN.items() if k != "name"})
    assert 'lang="fr"' in signed_in(cast, "owner").get(PROFILE).content.decode()
    assert 'lang="en"' in signed_in(cast, "admin").get(PROFILE).content.decode()


# --- Time zone --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """An opt-out of the owner just now, and a zone where another day is now than in UTC."""

    cast: Cast
    at: dt.datetime
    zone: str

    def day(self, zone: str) -> str:
        return self.at.astimezone(ZoneInfo(zone or "UTC")).date().isoformat()


@pytest.fixture
def elsewhere(cast: Cast) -> Elsewhere:
    opted_out_by_owner(cast)
    at = ConsentEvent.objects.filter(kind="choice.opted_out").latest("pk").recorded_at
    return Elsewhere(cast, at, "Pacific/Kiritimati" if at.hour >= 11 else "Pacific/Pago_Pago")


def test_zone__on_pages__is_the_readers(elsewhere: Elsewhere) -> None:
    cast, at = elsewhere.cast, elsewhere.at
    assert f"{at:%-d %b %Y, %H:%M} UTC" in signed_in(cast, "owner").get(url(cast, "history")).content.decode()
    chosen(cast.owner, time_zone="Asia/Tokyo")
    page = signed_in(cast, "owner").get(url(cast, "history")).content.decode()
    assert f"{at.astimezone(ZoneInfo('Asia/Tokyo')):%-d %b %Y, %H:%M} JST" in page
    assert "From (Tokyo)" in page and "Until (Tokyo)" in page


@pytest.mark.parametrize("own", [False, True])
def test_zone__days_of_a_filter__are_the_readers(elsewhere: Elsewhere, own: bool) -> None:
    cast, other = elsewhere.cast, "" if own else elsewhere.zone
    zone = elsewhere.zone if own else ""
    chosen(cast.owner, time_zone=zone)
    client = signed_in(cast, "owner")

    def found(day: str) -> int:
        asked = {"since": day, "until": day, "kind": "choice.opted_out"}
        return len(client.get(url(cast, "history"), asked).context["page"].rows)

    assert (found(elsewhere.day(zone)), found(elsewhere.day(other))) == (1, 0)


def test_zone__files_and_api__stay_in_utc(elsewhere: Elsewhere) -> None:
    cast = elsewhere.cast
    chosen(cast.owner, time_zone="Asia/Tokyo", language="fr")
    chosen(cast.operator, time_zone="Asia/Tokyo", language="fr")
    client = signed_in(cast, "owner")
    lines = client.get(url(cast, "history") + "jsonl/?kind=choice.opted_out").getvalue().decode().splitlines()
    assert json.loads(lines[0])["at"] == rfc3339(elsewhere.at)
    assert client.get("/settings/data-controls/mine.json").json()["made_at"].endswith("+00:00")
    events = signed_in(cast, "operator").get("/api/v1/events/").json()["results"]
    assert events and all(each["recorded_at"].endswith("Z") for each in events)
    problem = client.get(f"/api/v1/organizations/{cast.brage.pk}/", headers={"Accept-Language": "en"}).json()
    assert problem["detail"] == "There is no such object."


def test_zone__operators_form__reads_in_it(cast: Cast) -> None:
    chosen(cast.operator, time_zone="Europe/Paris")
    client = signed_in(cast, "operator")
    page = client.get("/admin/accounts/apikey/add/").content.decode()
    assert "14:00 (Paris)" in page


# --- Mails ------------------------------------------------------------------------------------------------------------


def mails() -> dict[str, str]:
    return {each.recipient: f"{each.subject}\n{each.body}" for each in OutgoingMessage.objects.all()}


def test_mail__of_a_new_operator__to_each_in_their_language_whole(cast: Cast) -> None:
    second = UserFactory(email="second@provider.example", operator=True)
    chosen(second, language="fr")
    with translation.override("fr"):
        subject, by = gettext("There is a new operator"), gettext("by a command on the server")
    people.create_operator(email="third@provider.example", name="Third")
    told = mails()
    assert told[second.email].startswith(subject) and by in told[second.email]
    assert told[cast.operator.email].startswith("There is a new operator")
    assert "by a command on the server" in told[cast.operator.email]


def test_mail__to_reset_a_password__in_the_persons_language(cast: Cast, client: Client) -> None:
    chosen(cast.owner, language="fr")
    for person in (cast.owner, cast.admin):
        client.post("/account/reset/", {"email": person.email}, headers={"Accept-Language": "en"})
    told = mails()
    assert told[cast.owner.email].splitlines()[0] != told[cast.admin.email].splitlines()[0] == "Password Reset Email"


def test_mail__of_a_new_password__with_the_persons_time(cast: Cast) -> None:
    chosen(cast.owner, time_zone="Asia/Tokyo")
    client, new = signed_in(cast, "owner"), "another-long-password-9"
    client.post("/account/password/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert " JST" in mails()[cast.owner.email]
