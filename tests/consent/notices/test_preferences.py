"""Settings › Notifications: what one can switch off is not sent, what protects always is."""

import datetime as dt

import pytest
from django.test import Client
from django.utils.translation import gettext_lazy

from accounts.models import Member, OutgoingMessage, User
from consent.models import NoticeOff
from consent.notices.catalogue import ENTRIES, Notice
from consent.notices.sending import Letter, send, send_all
from tests.support.cast import Cast, signed_in
from tests.support.factories import OrganizationFactory

pytestmark = pytest.mark.django_db
URL = "/settings/notifications/"


def told(**found: str) -> set[str]:
    return set(OutgoingMessage.objects.filter(**found).values_list("recipient", flat=True))


def test_page__operator__sees_theirs_and_can_switch_off_what_does_not_protect(cast: Cast) -> None:
    page = signed_in(cast.operator.email).get(URL).content.decode()
    assert 'value="waiting"' in page and 'value="job_failed"' in page
    assert str(ENTRIES[Notice.OPERATOR_MADE].always) in page and 'value="operator_made"' not in page


def test_page__member__sees_nothing_that_operators_or_owners_get(cast: Cast) -> None:
    page = signed_in(cast.member.email).get(URL).content.decode()
    for notice in (Notice.WAITING, Notice.OPERATOR_MADE, Notice.LOOSENED, Notice.WEBHOOK_PAUSED):
        assert str(ENTRIES[notice].label) not in page
    assert str(ENTRIES[Notice.ADDRESS_CHANGED].label) in page


def test_switched_off__is_not_sent__and_is_again_when_switched_on(cast: Cast) -> None:
    client = signed_in(cast.operator.email)
    both = [cast.operator.email, cast.owner.email]
    assert client.post(URL, {"on": ["job_failed"]}).status_code == 302
    send(Notice.WAITING, both, "A", what="A", by="B", url="C")
    assert told(subject="A") == {cast.owner.email}
    send(Notice.JOB_FAILED, both, "B", what="A", done=1, rows=2, url="C")
    assert told(subject="B") == set(both)
    client.post(URL, {"on": ["waiting", "job_failed"]})
    assert not NoticeOff.objects.filter(notice__in=["waiting", "job_failed"]).exists()
    send(Notice.WAITING, both, "C", what="A", by="B", url="C")
    assert told(subject="C") == set(both)


@pytest.mark.parametrize("wrong", ["loosened", "operator_made", "nonsense"])
def test_save__what_protects_or_is_unknown__refused_and_nothing_changed(cast: Cast, wrong: str) -> None:
    answer = signed_in(cast.operator.email).post(URL, {"on": [wrong]})
    assert answer.status_code == 400 and "Not saved" in answer.content.decode()
    assert not NoticeOff.objects.exists()


def test_page__signed_out__leads_to_signing_in() -> None:
    assert Client().get(URL).status_code == 302


def test_sent__optional__says_how_to_switch_it_off__and_protecting_does_not(cast: Cast) -> None:
    NoticeOff.objects.create(user=cast.owner, notice=Notice.OPERATOR_MADE)
    send(Notice.WAITING, [cast.owner.email], "A", what="A", by="B", url="C")
    send(Notice.OPERATOR_MADE, [cast.owner.email], "B", person=cast.operator, by="C")
    waiting, made = OutgoingMessage.objects.order_by("pk")
    assert "switch off" in waiting.body and waiting.body.rstrip().endswith("/settings/notifications/")
    assert "switch off" not in made.body


def test_letter__several_addresses__one_mail_each_and_none_twice(cast: Cast) -> None:
    words = {"link": "https://portal.example/x"}
    send_all(Notice.PASSWORD_LINK, [Letter(["a@b.example", "c@d.example", "a@b.example"], "A", words)])
    assert sorted(OutgoingMessage.objects.values_list("recipient", flat=True)) == ["a@b.example", "c@d.example"]


def test_sent__each_in_their_language_and_time_zone(cast: Cast) -> None:
    User.objects.filter(pk=cast.owner.pk).update(language="fr", time_zone="Europe/Paris")
    at = dt.datetime(2026, 7, 1, 12, 0, tzinfo=dt.UTC)
    words = {"what": gettext_lazy("Locked"), "product": "Le Chat", "organization": "50 % Ltd", "at": at}
    subject = gettext_lazy("%(organization)s invites you")
    send(Notice.TIGHTENED, [cast.owner.email, cast.admin.email], subject, **words)
    french, english = OutgoingMessage.objects.order_by("pk")
    assert "14:00 CEST" in french.body and "12:00 UTC" in english.body
    assert english.subject == "50 % Ltd invites you" != french.subject


def test_page__single_person__reads_nothing_about_an_organization_or_its_owners(cast: Cast) -> None:
    account = OrganizationFactory(name="Frida Ek", personal=True, plan="le_chat_pro", actor=cast.provider)
    page = signed_in(Member.objects.get(organization=account).user.email).get(URL).content.decode()
    assert str(ENTRIES[Notice.LOOSENED].label) in page
    for notice in (Notice.MEMBERS_TOLD, Notice.OWNERS_CHANGED):
        assert str(ENTRIES[notice].label) not in page
    assert str(ENTRIES[Notice.MEMBERS_TOLD].label) in signed_in(cast.member.email).get(URL).content.decode()
