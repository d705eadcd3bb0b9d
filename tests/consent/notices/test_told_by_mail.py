"""Who hears by mail of what the ledger says: owners of both directions, members of an opt-in, each of their opt-out."""

from typing import Any

import pytest

from accounts import outbox
from accounts.access import Actor
from accounts.models import Member, OutgoingMessage
from consent import ledger
from consent.jobs import actions, engine
from consent.models import ConsentEvent, EventKind, MembersToTell
from consent.notices.catalogue import Notice
from consent.notices.sending import send
from consent.projections import member_emails, runner
from consent.services import locks, members, plans
from consent.surfaces import AI_STUDIO_CONSOLE
from tests.support.cast import Cast, signed_in
from tests.support.choices import IN, OUT, choose, choose_own, key, opt_out_as_member
from tests.support.factories import MemberFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db


def sent() -> list[OutgoingMessage]:
    """What is sent by what has happened since the last call."""
    OutgoingMessage.objects.all().delete()
    ledger.sequence()
    runner.catch_up("notices")
    while member_emails.tell_next_batch():
        pass
    return list(OutgoingMessage.objects.order_by("pk"))


def to(about: str, mails: list[OutgoingMessage]) -> list[str]:
    return sorted(mail.recipient for mail in mails if about in mail.subject)


@pytest.fixture
def labs(cast: Cast) -> Cast:
    """Kvasir Labs, whose history so far has been told."""
    sent()
    return cast


def owner(cast: Cast) -> Actor:
    return Actor.from_user(cast.owner, confirmed=True)


# --- Owners -----------------------------------------------------------------------------------------------------------


def test_provider_ends_use_and_lets_it_begin__owners_are_told_of_both(labs: Cast) -> None:
    by: dict[str, Any] = {"organization": labs.labs, "product": "le_chat", "actor": labs.provider, "source": "admin"}
    locks.place_lock(reason="A court", reference="7", **by)
    [mail] = sent()
    assert (mail.recipient, mail.subject) == (labs.owner.email, "Kvasir Labs: data is no longer used for training")
    assert "A court" in mail.body and "Locked" in mail.body and "Odin" not in mail.body
    locks.lift_lock(reason="Over", **by)
    assert to("data is used for training from now on", sent()) == [labs.owner.email]


@pytest.mark.parametrize("act", ["again", "own", "started"])
def test_no_end_of_use_by_the_provider__owners_hear_nothing_of_one(labs: Cast, act: str) -> None:
    if act == "again":  # it was not used before
        choose(labs, OUT, owner(labs))
        sent()
        by: dict[str, Any] = {"organization": labs.labs, "actor": labs.provider, "source": "admin"}
        locks.place_lock(product="le_chat", reason="A", reference="7", **by)
    elif act == "own":
        choose(labs, OUT, owner(labs))
    else:
        new = OrganizationFactory(name="New", plan="le_chat_teams", actor=labs.provider)
        MemberFactory(organization=new, user=labs.outsider, role="owner", actor=labs.provider)
    assert to("no longer used", sent()) == []


def test_job_changes_a_plan_default__owners_are_told(labs: Cast) -> None:
    job = actions.preview_default(
        plan=plans.get_plan("le_chat_pro"), default=OUT, actor=labs.provider, source="admin", reason="New terms"
    )
    engine.run(engine.claim(actions.submit(job=job, actor=labs.provider, digest=job.digest)))
    assert to("Kvasir Labs: data is no longer used", sent()) == [labs.owner.email]


def test_operator_makes_an_owner_and_changes_one__owners_and_the_person_are_told(labs: Cast) -> None:
    admin = Member.objects.get(organization=labs.labs, user=labs.admin)
    members.update_member(member=admin, role="owner", actor=labs.provider, source="admin")
    mails = sent()
    assert to("the provider changed an owner", mails) == sorted([labs.owner.email, labs.admin.email])
    assert "Bo Nyström" in mails[0].body and "Admin → Owner" in mails[0].body
    members.update_member(member=admin, role="auditor", actor=labs.provider, source="admin")
    assert to("the provider changed an owner", sent()) == sorted([labs.owner.email, labs.admin.email])
    members.update_member(member=admin, role="owner", actor=owner(labs), source="console")
    members.update_member(member=labs.labs_member, role="auditor", actor=labs.provider, source="admin")
    assert to("changed an owner", sent()) == []


def test_operator_adds_the_first_owner__nobody_is_told__and_of_a_second_both_are(labs: Cast) -> None:
    team = OrganizationFactory(name="Fenrir", actor=labs.provider)
    MemberFactory(organization=team, user=UserFactory(email="first@fenrir.example"), role="owner", actor=labs.provider)
    assert sent() == []
    MemberFactory(organization=team, user=UserFactory(email="second@fenrir.example"), role="owner", actor=labs.provider)
    told = to("Fenrir: the provider changed an owner", sent())
    assert told == ["first@fenrir.example", "second@fenrir.example"]


# --- One's own opt-out ------------------------------------------------------------------------------------------------


def test_opt_out__the_person_gets_its_date_and_number__and_for_the_organization_too(labs: Cast) -> None:
    choose(labs, OUT, owner(labs))
    [mail] = sent()
    event = ConsentEvent.objects.latest("pk")
    assert (mail.recipient, mail.subject) == (labs.owner.email, "Your opt-out is saved")
    assert f"number {event.pk}" in mail.body and "Kvasir Labs" in mail.body and "/settings/notifications/" in mail.body
    opt_out_as_member(labs)
    [mail] = sent()
    assert mail.recipient == labs.member.email and "Your data in Le Chat, at Kvasir Labs" in mail.body


def test_opt_out__by_the_app_for_a_member__the_member_gets_it__and_by_another_key_nobody(labs: Cast) -> None:
    choose_own(labs, OUT, key("consent:member"), source="ios")
    assert to("Your opt-out is saved", sent()) == [labs.member.email]
    choose(labs, OUT, key("consent:write", labs.labs), source="api")
    assert to("Your opt-out is saved", sent()) == []


def test_opt_out__personal_account__one_line_with_the_number_that_its_history_shows(labs: Cast) -> None:
    account = OrganizationFactory(name="Frida Ek", personal=True, plan="le_chat_pro", actor=labs.provider)
    member = Member.objects.select_related("organization", "user").get(organization=account)
    sent()
    signed_in(member.user.email).post("/settings/data-controls/opt-out/")
    [mail] = sent()
    event = ConsentEvent.objects.get(
        organization=account, product="le_chat", member=None, kind=EventKind.CHOICE_OPTED_OUT
    )
    assert mail.recipient == member.user.email and f"number {event.pk}" in mail.body
    assert mail.body.count("Your data in Le Chat:") == mail.body.count("Your data in AI Studio and API:") == 1


def test_opt_out__twice__is_confirmed_once(labs: Cast) -> None:
    choose(labs, OUT, owner(labs))
    choose(labs, OUT, owner(labs))
    assert len(sent()) == 1 and sent() == []


def test_provider_opts_a_member_out__the_member_alone_is_told(labs: Cast) -> None:
    choose_own(labs, OUT, labs.provider, source="admin")
    [mail] = sent()
    assert (mail.recipient, mail.subject) == (labs.member.email, "Your data is no longer used for training")


# --- Members ----------------------------------------------------------------------------------------------------------


def out_and_in(cast: Cast) -> None:
    choose(cast, OUT, owner(cast))
    sent()
    choose(cast, IN, owner(cast), reason="The board")


def test_opt_in__members_whose_data_is_used_are_told_once__and_those_who_opted_out_are_not(labs: Cast) -> None:
    gone = UserFactory()
    left = MemberFactory(organization=labs.labs, user=gone, actor=labs.provider)
    members.remove_member(member=left, actor=labs.provider, source="admin")
    opt_out_as_member(labs)
    out_and_in(labs)
    late = UserFactory()
    MemberFactory(organization=labs.labs, user=late, actor=labs.provider)
    mails = sent()
    assert to("allows training on your data", mails) == sorted([labs.admin.email, labs.auditor.email])
    assert to("data is used for training from now on", mails) == [labs.owner.email]
    assert "/settings/data-controls/" in mails[-1].body
    assert to("allows training", sent()) == [] and not MembersToTell.objects.exists()


def test_opt_in__large_team__in_batches__each_member_once(labs: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_emails, "BATCH", 3)
    people = [UserFactory() for _ in range(7)]
    for person in people:
        MemberFactory(organization=labs.labs, user=person, actor=labs.provider)
    out_and_in(labs)
    told = to("allows training", sent())
    assert told == sorted([*(p.email for p in people), labs.admin.email, labs.auditor.email, labs.member.email])


def test_opt_in__taken_back_meanwhile__nobody_else_is_told(labs: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_emails, "BATCH", 1)
    out_and_in(labs)
    ledger.sequence()
    runner.catch_up("notices")
    assert member_emails.tell_next_batch()
    choose(labs, OUT, owner(labs))
    assert to("allows training", sent()) == []


def test_opt_in__full_outbox__members_wait_until_there_is_room(labs: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    out_and_in(labs)
    ledger.sequence()
    runner.catch_up("notices")
    monkeypatch.setattr(member_emails, "ROOM", 1)
    assert not member_emails.tell_next_batch() and MembersToTell.objects.exists()
    OutgoingMessage.objects.all().delete()
    assert member_emails.tell_next_batch() and OutgoingMessage.objects.count() == 3


def test_opt_in__product_on_which_members_have_no_say__owners_alone_are_told(labs: Cast) -> None:
    choose(labs, IN, owner(labs), surface=AI_STUDIO_CONSOLE, reason="The board")
    mails = sent()
    assert to("data is used for training from now on", mails) == [labs.owner.email]
    assert to("allows training", mails) == []


# --- The outbox -------------------------------------------------------------------------------------------------------


def test_opt_out_of_ones_own__its_confirmation_does_not_wait_for_mass_mail(labs: Cast) -> None:
    choose(labs, OUT, owner(labs))
    assert [(mail.subject, mail.mass) for mail in sent()] == [("Your opt-out is saved", False)]


def test_mass_mail_waits__a_link_asked_for_later_is_sent_first(labs: Cast) -> None:
    locks.place_lock(
        organization=labs.labs, product="le_chat", reason="A court", reference="7", actor=labs.provider, source="admin"
    )
    assert [mail.mass for mail in sent()] == [True]
    send(Notice.PASSWORD_LINK, ["later@saga.example"], "Set your password", link="https://portal.example/")
    outbox.send_next()
    assert list(OutgoingMessage.objects.values_list("recipient", flat=True)) == [labs.owner.email]
