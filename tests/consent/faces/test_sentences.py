"""What a setting's sentence says: what is in effect, why, and who chose it, as this reader may know it."""

import datetime as dt

import pytest
from django.conf import settings

from accounts.models import Member, Organization, Plan
from consent.models import Source
from consent.presentation import sentences
from consent.presentation.privacy_settings import SettingView, Word
from consent.rules import Reason
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_MOBILE

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
DAY = "2 Mar 2026"
PROVIDER = settings.PROVIDER_NAME
ADA, STAFF = "Ada Lindqvist", "somebody of the staff"


def word(
    source: str = Source.ADMIN, *, by: str = ADA, provider: bool = False, reader: bool = False, **more: str
) -> Word:
    return Word(NOON, by, by_provider=provider, by_reader=reader, source=source, **more)


def sentence(effective: str, reason: str, **more: object) -> str:
    return shown(effective, reason, **more).sentence


def shown(effective: str, reason: str, *, choice: str = "default", **more: object) -> SettingView:
    lock = {"locked_at": NOON, "lock_reason": "Under inquiry"} if reason == Reason.LOCKED else {}
    fields = dict.fromkeys(SettingView.__dataclass_fields__) | {
        "surface": LE_CHAT_MOBILE, "organization": Organization(name="Kvasir Labs"), "plan": Plan(name="Le Chat Pro"),
        "carried_from_name": "Le Chat Free", "personal": False, "set_by_operator": False,
    }  # fmt: skip
    return SettingView(**(fields | lock | {"effective": effective, "reason_code": reason, "choice": choice} | more))


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    ("source", "on", "off"),
    [
        (Source.IOS, "You turned data sharing on on your phone", "You turned data sharing off on your phone"),
        (Source.ANDROID, "You turned data sharing on on your phone", "You turned data sharing off on your phone"),
        (
            Source.DATA_CONTROLS,
            "You turned data sharing on in Data & Account Controls",
            "You turned data sharing off in Data & Account Controls",
        ),
        (Source.CONSOLE, "You allowed it in the Admin Console", "You turned it off in the Admin Console"),
        (Source.API, "You allowed it", "You turned it off"),
    ],
)
def test_sentence__own_word_in_a_personal_organization__names_the_place(
    source: str, on: str, off: str, allowed: bool
) -> None:
    effective, reason = ("opted_in", "organization_opted_in") if allowed else ("opted_out", "organization_opted_out")
    said = sentence(effective, reason, choice=effective, personal=True, word=word(source, reader=True))
    assert said == (f"Used for training. {on} on {DAY}." if allowed else f"Not used for training. {off} on {DAY}.")


IN, OUT = ("opted_in", Reason.ORGANIZATION_OPTED_IN), ("opted_out", Reason.ORGANIZATION_OPTED_OUT)


@pytest.mark.parametrize(
    ("effective", "reason", "more", "said"),
    [
        (*IN, {"word": word()}, f"Used for training. Chosen by {ADA} on {DAY}."),
        (*OUT, {"word": word()}, f"Not used for training. Chosen by {ADA} on {DAY}."),
        (*IN, {"word": word(by=STAFF, provider=True)}, f"Used for training. Set by {PROVIDER} on {DAY}."),
        (*OUT, {"word": word(by=STAFF, provider=True)}, f"Not used for training. Set by {PROVIDER} on {DAY}."),
        (
            *IN,
            {"word": word(), "surface": AI_STUDIO_CONSOLE},
            f"Used to train our models or improve our services. Chosen by {ADA} on {DAY}.",
        ),
        (
            *OUT,
            {"word": word(), "surface": AI_STUDIO_CONSOLE},
            f"Not used to train our models or improve our services. Chosen by {ADA} on {DAY}.",
        ),
        # Another reader than the person is not told the place.
        (*OUT, {"word": word(Source.IOS), "personal": True}, f"Not used for training. Chosen by {ADA} on {DAY}."),
        (
            "opted_out",
            Reason.ORGANIZATION_CLOSED,
            {},
            "Not used for training. The account of Kvasir Labs is closed.",
        ),
        (
            "opted_out",
            Reason.ORGANIZATION_CLOSED,
            {"personal": True},
            "Not used for training. The account is closed.",
        ),
        (
            "opted_out",
            Reason.NO_SUBSCRIPTION,
            {"plan": None},
            "Not used for training. There is no subscription for this product.",
        ),
        (
            "opted_out",
            Reason.LOCKED,
            {},
            f"Not used for training. Locked since {DAY}: Under inquiry. Opting in is not possible while it is locked.",
        ),
        # A reason that ends with a full stop gets no second one.
        (
            "opted_out",
            Reason.LOCKED,
            {"lock_reason": "Under inquiry."},
            f"Not used for training. Locked since {DAY}: Under inquiry. Opting in is not possible while it is locked.",
        ),
        ("opted_out", Reason.CARRIED_OVER, {}, "Not used for training. Kept from Le Chat Free, until you opt in."),
        (
            "opted_in",
            Reason.PLAN_DEFAULT,
            {},
            "Following the default of Le Chat Pro: used for training. Nobody has chosen yet.",
        ),
        (
            "opted_out",
            Reason.PLAN_DEFAULT,
            {},
            "Following the default of Le Chat Pro: not used for training. Nobody has chosen yet.",
        ),
        (
            "opted_in",
            Reason.PLAN_DEFAULT,
            {"surface": AI_STUDIO_CONSOLE},
            (
                "Following the default of Le Chat Pro: used to train our models or improve our services. Nobody has"
                " chosen yet."
            ),
        ),
        (
            "opted_out",
            Reason.PLAN_DEFAULT,
            {"surface": AI_STUDIO_CONSOLE},
            (
                "Following the default of Le Chat Pro: not used to train our models or improve our services. Nobody has"
                " chosen yet."
            ),
        ),
        # The person opted in as a member, and the plan's default decides.
        (
            "opted_in",
            Reason.PLAN_DEFAULT,
            {"personal": True, "word": word(reader=True)},
            "Following the default of Le Chat Pro: used for training.",
        ),
        (
            "opted_out",
            Reason.PLAN_DEFAULT,
            {"personal": True, "word": word(reader=True)},
            "Following the default of Le Chat Pro: not used for training.",
        ),
    ],
)
def test_sentence__of_an_organization__says_state_and_cause(
    effective: str, reason: str, more: dict[str, object], said: str
) -> None:
    assert sentence(effective, reason, **more) == said


@pytest.mark.parametrize(
    ("effective", "reason", "more", "said"),
    [
        (
            "opted_out",
            Reason.MEMBER_OPTED_OUT,
            {"choice": "opted_out", "word": word()},
            f"Your data is not used for training. Chosen by {ADA} on {DAY}.",
        ),
        (
            "opted_out",
            Reason.MEMBER_OPTED_OUT,
            {"choice": "opted_out", "word": word(by=STAFF, provider=True), "set_by_operator": True},
            f"Your data is not used for training. Set by {PROVIDER} on {DAY}.",
        ),
        (
            "opted_out",
            Reason.MEMBER_LEFT,
            {"member": Member(status="left")},
            "You have left Kvasir Labs; nothing collected since then is used for training.",
        ),
        (
            "opted_in",
            Reason.ORGANIZATION_OPTED_IN,
            {"choice": "opted_in", "word": word()},
            f"Your data may be used for training. Chosen by {ADA} on {DAY}.",
        ),
        (
            "opted_in",
            Reason.ORGANIZATION_OPTED_IN,
            {},
            "Your data may be used for training, as Kvasir Labs allows. You have not chosen yet.",
        ),
        ("opted_out", Reason.ORGANIZATION_CLOSED, {}, "Not used for training. The account of Kvasir Labs is closed."),
        (
            "opted_out",
            Reason.NO_SUBSCRIPTION,
            {},
            "Not used for training. There is no subscription for this product.",
        ),
        (
            "opted_out",
            Reason.LOCKED,
            {},
            "Training is locked for your organization Kvasir Labs, so your data is not used.",
        ),
        (
            "opted_out",
            Reason.CARRIED_OVER,
            {},
            "Your organization Kvasir Labs stays out, as under Le Chat Free, so your data is not used.",
        ),
        (
            "opted_out",
            Reason.PLAN_DEFAULT,
            {},
            "Le Chat Pro, the plan of Kvasir Labs, is opted out by default, so your data is not used.",
        ),
        (
            "opted_out",
            Reason.ORGANIZATION_OPTED_OUT,
            {"word": word(by=STAFF, provider=True)},
            f"{PROVIDER} opted Kvasir Labs out on {DAY}, so your data is not used.",
        ),
        # The member's own word names the place, if it was an app that passed it on too.
        (
            "opted_out",
            Reason.MEMBER_OPTED_OUT,
            {"choice": "opted_out", "word": word(Source.IOS, reader=True)},
            f"Your data is not used for training. You turned data sharing off on your phone on {DAY}.",
        ),
        # Who of the organization chose is not a member's to know.
        (
            "opted_out",
            Reason.ORGANIZATION_OPTED_OUT,
            {"word": word()},
            "Your organization Kvasir Labs has opted out, so your data is not used.",
        ),
    ],
)
def test_sentence__of_a_member__says_whose_choice_decides(
    effective: str, reason: str, more: dict[str, object], said: str
) -> None:
    assert sentence(effective, reason, **({"member": Member()} | more)) == said


YES, NO = {"choice": "opted_in"}, {"choice": "opted_out"}


@pytest.mark.parametrize(
    ("effective", "reason", "more", "chosen", "said"),
    [
        # The sentence says who chose; what is left are the reason and the plan's default.
        (
            *IN,
            {"default": "opted_out"},
            word(**YES, reason="A pilot"),
            "Reason given: “A pilot”. The plan's default: not used.",
        ),
        (*OUT, {"default": "opted_in"}, word(**NO), "The plan's default: used."),
        # It is about the default already.
        ("opted_in", Reason.PLAN_DEFAULT, {"default": "opted_in"}, None, ""),
        ("opted_out", Reason.PLAN_DEFAULT, {"default": "opted_out"}, None, ""),
        (
            "opted_out",
            Reason.CARRIED_OVER,
            {"default": "opted_in"},
            None,
            "The plan's default: used. Nobody has chosen yet.",
        ),
        ("opted_out", Reason.LOCKED, {"default": "opted_in"}, None, "The plan's default: used. Nobody has chosen yet."),
        (
            "opted_out",
            Reason.LOCKED,
            {"default": "opted_out"},
            word(**YES, reason="A pilot", reader=True),
            (
                f"The plan's default: not used. You chose: used, on {DAY}. That has no effect for now."
                " Reason given: “A pilot”."
            ),
        ),
        (
            "opted_out",
            Reason.LOCKED,
            {"default": "opted_in"},
            word(**NO),
            f"The plan's default: used. {ADA} chose: not used, on {DAY}.",
        ),
        ("opted_out", Reason.NO_SUBSCRIPTION, {}, None, "Nobody has chosen yet."),
        (
            "opted_out",
            Reason.ORGANIZATION_CLOSED,
            {},
            word(**YES, by=STAFF, provider=True, reason="A pilot."),
            f"{PROVIDER} chose: used, on {DAY}. That has no effect for now. Reason given: “A pilot”.",
        ),
        # The one person opted in as a member; the plan's default decides.
        (
            "opted_in",
            Reason.PLAN_DEFAULT,
            {"personal": True, "default": "opted_in"},
            word(**YES, reader=True),
            f"You chose: used, on {DAY}.",
        ),
        # Of a team's member.
        (
            "opted_in",
            Reason.PLAN_DEFAULT,
            {"member": Member(), "default": "opted_in"},
            None,
            "The plan's default: used.",
        ),
        (
            "opted_out",
            Reason.PLAN_DEFAULT,
            {"member": Member(), "default": "opted_out"},
            None,
            "You have not chosen yet.",
        ),
        (
            "opted_out",
            Reason.ORGANIZATION_OPTED_OUT,
            {"member": Member(), "default": "opted_in", **YES},
            word(**YES, reader=True),
            f"The plan's default: used. You chose: used, on {DAY}. That has no effect for now.",
        ),
        (
            "opted_out",
            Reason.MEMBER_OPTED_OUT,
            {"member": Member(), "default": "opted_in", **NO},
            word(**NO, by=STAFF, provider=True, reason="Asked for by mail"),
            "Reason given: “Asked for by mail”. The plan's default: used.",
        ),
        ("opted_out", Reason.MEMBER_LEFT, {"member": Member(status="left"), "default": "opted_in"}, None, ""),
    ],
)
def test_background__of_a_setting__says_what_the_sentence_leaves_out(
    effective: str, reason: str, more: dict[str, object], chosen: Word | None, said: str
) -> None:
    assert sentences.background(shown(effective, reason, **(more | {"chosen": chosen}))) == said
