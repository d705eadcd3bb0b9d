"""The state of a setting as one sentence, the same on all screens: what is in effect, why, and who chose it when."""

import datetime as dt
from typing import TYPE_CHECKING

from django.conf import settings as conf
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from accounts.models import Member

from ..models import PrivacySetting, Source
from ..rules import Choice, Reason
from ..services.one_person import is_own_word

if TYPE_CHECKING:
    from .privacy_settings import SettingView, Word


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
        "reason": _unstopped(shown.lock_reason or ""),
    }
    if shown.reason_code == Reason.RESTORED:
        return _("Not used for training, until it is certain that no recent choice is missing here.")
    template = _of_member(shown) if shown.of_member else _of_organization(shown)
    return template % names


def background(shown: "SettingView") -> str:
    """What the sentence leaves out: the plan's default, a choice that does not decide now, and why it was made."""
    word, told = shown.chosen, _is_told(shown)
    said = [_default_alone(shown)]
    if word is None:
        said += [_nobody(shown)]
    else:
        reason = _("Reason given: “%(reason)s”.") % {"reason": _unstopped(word.reason)} if word.reason else ""
        said = [reason, *said] if told else [*said, *_beside(word, is_in=shown.is_in), reason]
    return " ".join(each for each in said if each)


def _is_told(shown: "SettingView") -> bool:
    """Whether the sentence already says who made the choice of this layer."""
    if shown.of_member:
        return shown.choice == Choice.OPTED_OUT or (shown.choice == Choice.OPTED_IN and shown.is_in)
    return shown.reason_code not in _OTHER_CAUSES


_OTHER_CAUSES = frozenset(
    (Reason.ORGANIZATION_CLOSED, Reason.NO_SUBSCRIPTION, Reason.LOCKED, Reason.CARRIED_OVER, Reason.PLAN_DEFAULT)
)


def _default_alone(shown: "SettingView") -> str:
    """The plan's default; '' without a plan, for who has left, and where the sentence itself is about the default."""
    left = shown.of_member and shown.member is not None and shown.member.has_left
    if (
        not shown.default
        or left
        or (shown.reason_code == Reason.PLAN_DEFAULT and not (shown.of_member and shown.is_in))
    ):
        return ""
    if shown.default == Choice.OPTED_IN:
        return _("The plan's default: used.")
    return _("The plan's default: not used.")


def _nobody(shown: "SettingView") -> str:
    """That nobody has chosen, where the sentence doesn't say it."""
    if shown.of_member:
        return "" if shown.is_in or (shown.member and shown.member.has_left) else _("You have not chosen yet.")
    return "" if shown.reason_code == Reason.PLAN_DEFAULT else _("Nobody has chosen yet.")


def _beside(word: "Word", *, is_in: bool) -> list[str]:
    """A choice that decides nothing now, but may again: once a lock is lifted, or the plan is back."""
    if word.choice == Choice.OPTED_OUT:
        who = {
            "reader": _("You chose: not used, on %(date)s."),
            "provider": _("%(provider)s chose: not used, on %(date)s."),
            "other": _("%(actor)s chose: not used, on %(date)s."),
        }
    else:
        who = {
            "reader": _("You chose: used, on %(date)s."),
            "provider": _("%(provider)s chose: used, on %(date)s."),
            "other": _("%(actor)s chose: used, on %(date)s."),
        }
    by = "reader" if word.by_reader else "provider" if word.by_provider else "other"
    names = {"actor": word.by, "date": day(word.at), "provider": conf.PROVIDER_NAME}
    vain = word.choice == Choice.OPTED_IN and not is_in
    return [who[by] % names, _("That has no effect for now.") if vain else ""]


def in_effect(shown: "SettingView") -> str:
    """What is in effect for an organization, in few words: as the surface's control names the use."""
    return shown.surface.words.said("used" if shown.is_in else "not_used", one=True)


def _of_organization(shown: "SettingView") -> str:
    """The sentences of an organization's setting; a personal one has the same on both of its surfaces (R17)."""
    if shown.reason_code == Reason.PLAN_DEFAULT:
        # The person of a personal organization may have opted in as a member, and yet the plan's default decides.
        return _default(shown) if shown.word else " ".join((_default(shown), _("Nobody has chosen yet.")))
    return f"{in_effect(shown)}. {_cause(shown)}"


def _default(shown: "SettingView") -> str:
    return shown.surface.words.said("default_used" if shown.is_in else "default_not_used", one=True)


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
    return _who(shown)


def _who(shown: "SettingView") -> str:
    """Who made the choice that decides, and when."""
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
        return " ".join((_("Your data is not used for training."), _who(shown)))
    if shown.member is not None and shown.member.has_left:
        return _("You have left %(organization)s; nothing collected since then is used for training.")
    if shown.is_in:
        if shown.choice == Choice.OPTED_IN:
            return " ".join((_("Your data may be used for training."), _who(shown)))
        return str(shown.surface.words.default_used)
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
            return str(shown.surface.words.default_not_used)
    if shown.word is not None and shown.word.by_provider:
        return _("%(provider)s opted %(organization)s out on %(date)s, so your data is not used.")
    return _("Your organization %(organization)s has opted out, so your data is not used.")


def _unstopped(reason: str) -> str:
    """The reason as a part of a sentence, which has a full stop of its own."""
    return reason.rstrip(" .")


def day(instant: dt.datetime | None) -> str:
    """The instant's day in the reader's language; '' for None."""
    return formats.date_format(timezone.localtime(instant), "DATE_FORMAT") if instant else ""


def telling_of(above: PrivacySetting | None, own: PrivacySetting | None, owner: Member) -> PrivacySetting | None:
    """The layer whose choice is shown as the person's: an opt-out before an opt-in, their own before another's."""
    chosen = [row for row in (above, own) if row is not None and row.choice != Choice.DEFAULT]
    return min(
        chosen,
        key=lambda row: (row.choice != Choice.OPTED_OUT, not is_own_word(row.choice_event, owner)),
        default=None,
    )
