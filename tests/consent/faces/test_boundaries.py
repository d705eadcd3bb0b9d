"""Attempts to get around the rules: whose data an id means, who chose, what a count reveals."""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from accounts.access import Actor, Forbidden
from consent import decisions
from consent.errors import Invalid
from consent.lookups import Question
from consent.models import ConsentEvent, PrivacySetting
from consent.rules import Reason
from consent.services import choices, members, organizations
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.factories import MemberFactory
from tests.support.keys import issue_key

pytestmark = pytest.mark.django_db


def own_key(cast: Cast) -> Actor:
    key, _text = issue_key("own", ["organizations:write", "consent:write"], organization=cast.labs)
    return Actor.from_key(key)


def choose(cast: Cast, actor: Actor, choice: str, **more: Any) -> PrivacySetting:
    return choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=cast.labs,
        actor=actor,
        choice=choice,
        source="api",
        **more,
        version_required=False,
    )


def test_external_id__given_by_the_organization__refused_and_the_opt_out_stands(cast: Cast) -> None:
    """Else an opted-out member's id could be given to somebody who is not."""
    member = members.update_member(member=cast.labs_member, external_id="vic", actor=cast.provider, source="api")
    dag = Actor.from_user(cast.member, confirmed=True)
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=cast.labs, member=member, choice="opted_out", actor=dag,
        source="data_controls",
    )  # fmt: skip
    key = own_key(cast)
    question, last = Question(str(cast.labs.pk), "le_chat", "external:vic"), ConsentEvent.objects.latest("pk").pk
    for actor in (key, Actor.from_user(cast.owner, confirmed=True)):
        with pytest.raises(Forbidden):
            members.update_member(member=member, external_id="vic-old", actor=actor, source="api")
        with pytest.raises(Forbidden):
            members.add_member(
                organization=cast.labs, email="new@kvasir.example", external_id="v", actor=actor, source="api"
            )
        with pytest.raises(Forbidden):
            organizations.update_organization(organization=cast.labs, external_id="acct-77", actor=actor, source="api")
    assert decisions.decide(question, cast.provider).decision.reason == Reason.MEMBER_OPTED_OUT
    assert ConsentEvent.objects.latest("pk").pk == last


def test_operator__opts_in_without_a_reason__refused_on_any_plan(cast: Cast) -> None:
    choose(cast, Actor.from_user(cast.owner, confirmed=True), "opted_out")
    before = ConsentEvent.objects.count()
    with pytest.raises(Invalid) as refusal:
        choose(cast, cast.provider, "opted_in", reason=" ")
    assert (refusal.value.code, refusal.value.field) == ("required", "reason")
    assert ConsentEvent.objects.count() == before
    assert choose(cast, cast.provider, "opted_in", reason="Letter of 3 May").allowed


def test_operator__made_a_member_by_the_organization__still_acts_for_the_provider_on_the_operators_site(
    cast: Cast,
) -> None:
    MemberFactory(organization=cast.labs, user=cast.operator, role="admin", actor=cast.provider)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )
    assert ConsentEvent.objects.latest("pk").by_operator is True


@pytest.mark.parametrize("name", ["\u200b\u200b", "a\u202eb", "a\x07b", "\u2066x"])
def test_name__with_nothing_to_see_or_that_turns_the_text__refused(name: str, cast: Cast) -> None:
    with pytest.raises(Invalid):
        organizations.update_organization(organization=cast.labs, name=name, actor=cast.provider, source="api")
    cast.labs.refresh_from_db()
    assert cast.labs.name == "Kvasir Labs"


def test_email__longer_than_the_column__refused_by_name(cast: Cast) -> None:
    with pytest.raises(Invalid) as refusal:
        members.clean_email("a" * 60 + "@" + "b" * 60 + "." + "c" * 60 + "." + "d" * 60 + "." + "e" * 60 + ".example")
    assert refusal.value.field == "email"


def test_external_id__with_a_slash__refused(cast: Cast) -> None:
    with pytest.raises(Invalid):
        organizations.update_organization(organization=cast.labs, external_id="c/d", actor=cast.provider, source="api")


def test_from_file__first_line_is_an_id__refused_and_nothing_changed(cast: Cast, tmp_path: Path) -> None:
    file = tmp_path / "ids.csv"
    file.write_text(f"{cast.labs.pk}\n{cast.brage.pk}\n")
    before = ConsentEvent.objects.count()
    arguments = ("--surface", "le_chat_console", "--choice", "opted_out", "--yes", "--actor", cast.operator.email)
    result = run("set_consent", "--from-file", str(file), *arguments)
    assert (result.code, ConsentEvent.objects.count()) == (2, before)
    assert str(cast.labs.pk) in result.err


@pytest.mark.parametrize("name", ["at", "collected_at"])
def test_question__instant_without_time_zone__not_answered(name: str, cast: Cast) -> None:
    asked = Question(str(cast.labs.pk), "le_chat", str(cast.labs_member.pk))
    naive = dataclasses.replace(asked, **{name: dt.datetime(2026, 11, 20)})  # noqa: DTZ001  as it must not be
    for questions in ([naive], [asked, naive]):
        with pytest.raises(ValueError, match="needs a time zone"):
            decisions.decide_many(questions, cast.provider)
