"""The state of a setting as one sentence, the same on all screens: what is in effect, why, and who chose it when."""

import datetime as dt
from typing import TYPE_CHECKING

from django.conf import settings as conf
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from accounts.catalogue import Product

from ..models import Source
from ..rules import Choice, Reason

if TYPE_CHECKING:
    from .privacy_settings import SettingView


def sentence(shown: "SettingView") -> str:
    word = shown.word
    names = {
        "organization": shown.organization.name,
        "plan": shown.plan.name if shown.plan else "",
        "actor": word.by if word else "",
        "date": day(word.at) if word else "",
        "locked": day(shown.locked_at),
        "provider": conf.PROVIDER_NAME,
        "cause": shown.carried_from_name,
        "reason": shown.lock_reason or "",
    }
    template = _of_member(shown) if shown.of_member else _of_organization(shown)
    return template % names


def in_effect(shown: "SettingView") -> str:
    """What is in effect for an organization, in few words: as the surface's control names the use."""
    if shown.surface.product == Product.AI_STUDIO:
        if shown.is_in:
            return _("Used to train our models or improve our services")
        return _("Not used to train our models or improve our services")
    return _("Used for training") if shown.is_in else _("Not used for training")


def _of_organization(shown: "SettingView") -> str:
    """The sentences of an organization's setting; a personal one has the same on both of its surfaces (R17)."""
    if shown.reason_code == Reason.PLAN_DEFAULT:
        # The person of a personal organization may have opted in as a member, and yet the plan's default decides.
        return _default(shown) if shown.word else f"{_default(shown)} {_('Nobody has chosen yet.')}"
    return f"{in_effect(shown)}. {_cause(shown)}"


def _default(shown: "SettingView") -> str:
    if shown.surface.product == Product.AI_STUDIO:
        if shown.is_in:
            return _("Following the default of %(plan)s: used to train our models or improve our services.")
        return _("Following the default of %(plan)s: not used to train our models or improve our services.")
    if shown.is_in:
        return _("Following the default of %(plan)s: used for training.")
    return _("Following the default of %(plan)s: not used for training.")


def _cause(shown: "SettingView") -> str:
    match shown.reason_code:
        case Reason.ORGANIZATION_CLOSED:
            return _("The account is closed.") if shown.personal else _("The account of %(organization)s is closed.")
        case Reason.NO_SUBSCRIPTION:
            return _("There is no subscription for this product.")
        case Reason.LOCKED:
            return _("Locked since %(locked)s: %(reason)s. Opting in is not possible while it is locked.")
        case Reason.CARRIED_OVER:
            return _("Kept from %(cause)s, until you opt in.")
    word = shown.word
    if word is not None and word.by_provider:
        return _("Set by %(provider)s on %(date)s.")
    if word is not None and word.by_reader:
        return _own_word(word.source, is_in=shown.is_in)
    return _("Chosen by %(actor)s on %(date)s.")


def _own_word(source: str, *, is_in: bool) -> str:
    """Of a choice that the reader made themselves: the place where they made it."""
    if source in (Source.IOS, Source.ANDROID):
        if is_in:
            return _("You turned data sharing on on your phone on %(date)s.")
        return _("You turned data sharing off on your phone on %(date)s.")
    if source == Source.DATA_CONTROLS:
        if is_in:
            return _("You turned data sharing on in Data & Account Controls on %(date)s.")
        return _("You turned data sharing off in Data & Account Controls on %(date)s.")
    if source == Source.CONSOLE:
        if is_in:
            return _("You allowed it in the Admin Console on %(date)s.")
        return _("You turned it off in the Admin Console on %(date)s.")
    return _("You allowed it on %(date)s.") if is_in else _("You turned it off on %(date)s.")


def _of_member(shown: "SettingView") -> str:
    """The sentence of a team member's setting: their own choice if it decides, else the organization's state."""
    if shown.choice == Choice.OPTED_OUT:
        if shown.set_by_operator:
            return _("Your data is not used for training. Set by %(provider)s on %(date)s.")
        return _("Your data is not used for training. Chosen by %(actor)s on %(date)s.")
    if shown.member is not None and shown.member.has_left:
        return _("You have left %(organization)s; nothing collected since then is used for training.")
    if shown.is_in:
        if shown.choice == Choice.OPTED_IN:
            return _("Your data may be used for training. Chosen by %(actor)s on %(date)s.")
        return _("Your data may be used for training, as %(organization)s allows. You have not chosen yet.")
    return _decided_by_organization(shown)


def _decided_by_organization(shown: "SettingView") -> str:
    """The sentence for a member whose data is not used because of the team's state; it says why, and by whom."""
    match shown.reason_code:
        case Reason.ORGANIZATION_CLOSED:
            return _("Not used for training. The account of %(organization)s is closed.")
        case Reason.NO_SUBSCRIPTION:
            return _("Not used for training. There is no subscription for this product.")
        case Reason.LOCKED:
            return _("Training is locked for your organization %(organization)s, so your data is not used.")
        case Reason.CARRIED_OVER:
            return _("Your organization %(organization)s stays out, as under %(cause)s, so your data is not used.")
        case Reason.PLAN_DEFAULT:
            return _("%(plan)s, the plan of %(organization)s, is opted out by default, so your data is not used.")
    if shown.word is not None and shown.word.by_provider:
        return _("%(provider)s opted %(organization)s out on %(date)s, so your data is not used.")
    return _("Your organization %(organization)s has opted out, so your data is not used.")


def day(instant: dt.datetime | None) -> str:
    """The instant's day in the reader's language; '' for None."""
    return formats.date_format(timezone.localtime(instant), "DATE_FORMAT") if instant else ""
