"""The state of a setting as one sentence, the same on all screens: what is in effect, why, and who chose it when."""

import datetime as dt
from typing import TYPE_CHECKING

from django.conf import settings as conf
from django.utils import formats, timezone
from django.utils.translation import gettext as _

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


def _of_organization(shown: "SettingView") -> str:
    """The sentence of an organization's setting; a personal one has the same on both of its surfaces (R17)."""
    match shown.reason_code:
        case Reason.ORGANIZATION_CLOSED:
            if shown.personal:
                return _("Not used for training. The account is closed.")
            return _("Not used for training. The account of %(organization)s is closed.")
        case Reason.NO_SUBSCRIPTION:
            return _("Not used for training. There is no subscription for this product.")
        case Reason.LOCKED:
            return _(
                "Not used for training. Locked since %(locked)s: %(reason)s. Opting in is not possible while it is"
                " locked."
            )
        case Reason.CARRIED_OVER:
            return _("Not used for training. Kept from %(cause)s, until you opt in.")
        case Reason.PLAN_DEFAULT:
            return _default(shown)
    return _chosen(shown)


def _default(shown: "SettingView") -> str:
    # The person of a personal organization may have opted in as a member, and yet the plan's default decides.
    nobody = shown.word is None
    if shown.is_in:
        if nobody:
            return _("Following the default of %(plan)s: used for training. Nobody has chosen yet.")
        return _("Following the default of %(plan)s: used for training.")
    if nobody:
        return _("Following the default of %(plan)s: not used for training. Nobody has chosen yet.")
    return _("Following the default of %(plan)s: not used for training.")


def _chosen(shown: "SettingView") -> str:
    word = shown.word
    if word is not None and word.by_provider:
        if shown.is_in:
            return _("Used for training. Set by %(provider)s on %(date)s.")
        return _("Not used for training. Set by %(provider)s on %(date)s.")
    if word is not None and word.by_reader and shown.personal:
        return _own_word(word.source, is_in=shown.is_in)
    if shown.is_in:
        return _("Used for training. Chosen by %(actor)s on %(date)s.")
    return _("Not used for training. Chosen by %(actor)s on %(date)s.")


def _own_word(source: str, *, is_in: bool) -> str:
    """The sentence for a choice that the reader made themselves, with the place where they made it."""
    if source in (Source.IOS, Source.ANDROID):
        if is_in:
            return _("Used for training. You turned data sharing on on your phone on %(date)s.")
        return _("Not used for training. You turned data sharing off on your phone on %(date)s.")
    if source == Source.DATA_CONTROLS:
        if is_in:
            return _("Used for training. You turned data sharing on in Data & Account Controls on %(date)s.")
        return _("Not used for training. You turned data sharing off in Data & Account Controls on %(date)s.")
    if source == Source.CONSOLE:
        if is_in:
            return _("Used for training. You allowed it in the Admin Console on %(date)s.")
        return _("Not used for training. You turned it off in the Admin Console on %(date)s.")
    if is_in:
        return _("Used for training. You allowed it on %(date)s.")
    return _("Not used for training. You turned it off on %(date)s.")


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
