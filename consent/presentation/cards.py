"""A setting as a card on the screen: its control, state, texts and possible actions, from its SettingView."""

import dataclasses
import datetime as dt
from collections.abc import Callable

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from accounts import time_zones
from accounts.access import Actor, Permission, acts_as_operator, opt_in_act
from accounts.catalogue import Product
from accounts.models import Member, Organization

from ..rules import Choice, Reason
from ..surfaces import WITH_MEMBERS, Scope, Surface, Words
from ..wordings import on_screen
from . import privacy_settings, sentences
from .honoured import Way, ways_of_choices
from .privacy_settings import SettingView
from .sentences import day


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a setting is shown: its owner, the URL that its forms post to, and the URL of its page."""

    surface: Surface
    organization: Organization
    url: str
    page_url: str
    member: Member | None = None
    # The URL of the page that shows the way of the choice with this number; None where no page does.
    way_url: Callable[[str], str] | None = None
    # The page that says of a day whether what came in then may be used; '' where there is none.
    why_url: str = ""

    @property
    def html_id(self) -> str:
        """The element's id. It is the same after an htmx swap, so that the keyboard focus stays."""
        return f"setting-{self.member.pk}" if self.member else f"setting-{self.surface.key}"

    @property
    def title(self) -> str | Promise:
        """The page's name in the menu: the last part of the path, or the one before if the last is a section."""
        return self.surface.path[-1] if self.member else self.surface.path[-2]


@dataclasses.dataclass(frozen=True)
class Card:
    setting: SettingView
    html_id: str
    url: str
    version: int
    # An operator who opts a customer in always needs a reason, whatever the setting's own rule.
    needs_reason: bool
    for_operator: bool
    # Whether an operator acts here for the customer.
    by_operator: bool
    # Whether opting in needs reauthentication: then the form is sent without htmx.
    confirms_person: bool
    # How far an opt-out has come, and the page that says more.
    way: Way | None = None
    way_url: str = ""
    why_url: str = ""

    @property
    def label(self) -> str | Promise:
        return self.setting.surface.label

    @property
    def covers(self) -> str | Promise:
        surface = self.setting.surface
        return surface.covers_one or surface.covers if self.setting.personal else surface.covers

    @property
    def shown(self) -> str:
        """What the card's forms say of the words on it, for the event of a choice."""
        return on_screen(self.setting.surface)

    def _said(self, part: str) -> str:
        return self.words.said(part, one=not self.setting.of_member)

    @property
    def words(self) -> Words:
        return self.setting.surface.words

    @property
    def of_services(self) -> bool:
        """Whether the control is about improving services too, and not about training alone."""
        return self.setting.surface.product == Product.AI_STUDIO

    @property
    def is_switch(self) -> bool:
        """Whether the control is a switch: organizations have switches, members a checkbox."""
        return self.setting.surface.scope is Scope.ORGANIZATION

    @property
    def checked(self) -> bool:
        return self.setting.checked

    @property
    def wanted(self) -> str:
        """The choice that using the control sends: a value, never "toggle", so that a repetition is harmless (R10)."""
        return Choice.OPTED_OUT.value if self.checked else Choice.OPTED_IN.value

    @property
    def disabled(self) -> bool:
        return not (self.setting.can_opt_out if self.checked else self.setting.can_opt_in)

    @property
    def asks(self) -> bool:
        """Whether using the control opens the confirmation; opting out never does (R13)."""
        return not self.checked and not self.disabled

    @property
    def effective(self) -> str:
        return self.setting.effective

    @property
    def state(self) -> str:
        if not self.setting.of_member:
            return sentences.in_effect(self.setting)
        return self._said("used" if self.setting.is_in else "not_used")

    @property
    def sentence(self) -> str:
        return self.setting.sentence

    @property
    def background(self) -> str:
        return sentences.background(self.setting)

    @property
    def source(self) -> str:
        """Where the state comes from: default, chosen, carried_over, locked, organization, left or none."""
        setting = self.setting
        if setting.of_member and setting.member and setting.member.has_left and setting.choice != Choice.OPTED_OUT:
            return "left"
        if setting.reason_code in (Reason.ORGANIZATION_CLOSED, Reason.NO_SUBSCRIPTION):
            return "none"
        if setting.of_member and setting.choice != Choice.OPTED_OUT and setting.decided_by_organization:
            return "organization"
        if setting.locked:
            return "locked"
        if setting.reason_code == Reason.CARRIED_OVER:
            return "carried_over"
        if setting.personal and setting.reason_code == Reason.PLAN_DEFAULT:
            return "default"
        return "chosen" if setting.personal or setting.choice != Choice.DEFAULT else "default"

    @property
    def source_label(self) -> str:
        setting = self.setting
        return {
            "default": _("No choice yet") if setting.of_member else _("Default of the plan"),
            "chosen": _("Set by the provider") if setting.set_by_provider else _("Chosen"),
            "carried_over": _("Carried over"),
            "locked": _("Locked"),
            "organization": _("Decided by the organization"),
            "left": _("You have left"),
            "none": _("Account closed") if setting.reason_code == Reason.ORGANIZATION_CLOSED else _("No subscription"),
        }[self.source]

    @property
    def hint(self) -> str:
        setting = self.setting
        if not setting.of_member:
            return "" if setting.can_opt_out else _("Only owners and admins can change this.")
        if self.source == "left" and not setting.decided_by_organization:
            return _("What was collected before you left may still be used, unless you opt out.")
        return ""

    @property
    def cooling_off(self) -> str:
        """From when on what comes in today is used; '' where it is not used, or used at once."""
        if not (self.setting.is_in and self.setting.cooling_off):
            return ""
        if self.of_services:
            text = _("As things stand, what comes in today is used on %(date)s at the earliest.")
        elif self.setting.member is None and not self.setting.personal:
            text = _("As things stand, what people say today is used on %(date)s at the earliest.")
        else:
            text = _("As things stand, what you say today is used on %(date)s at the earliest.")
        earliest = day(timezone.now() + dt.timedelta(self.setting.cooling_off))
        return " ".join((text % {"date": earliest}, _("If you opt out before then, it is never used.")))

    @property
    def changing(self) -> str:
        """What the reader may do about it at any time; '' for operators, who act on a customer's instruction."""
        if self.by_operator or not self.setting.can_opt_out:
            return ""
        if self.setting.can_opt_in:
            return _("You can change this at any time.")
        return "" if self.setting.choice == Choice.OPTED_OUT else _("You can opt out at any time.")

    @property
    def keep_off(self) -> str:
        """The label of the button that makes "not used" the reader's own choice; '' if it is already, or can't be."""
        setting = self.setting
        if setting.is_in or not setting.can_opt_out or (setting.choice == Choice.OPTED_OUT and not setting.can_confirm):
            return ""
        if setting.of_member and setting.member is not None:
            return self._said("keep_off_else" if setting.member.has_left else "keep_off")
        return self._said("keep_off_else" if setting.locked else "keep_off")

    @property
    def submit(self) -> str:
        """The label of the button for browsers without JavaScript: it says what it will do."""
        return self._said("allow" if self.asks else "stop")

    @property
    def opt_in_text(self) -> str:
        """What the confirmation of an opt-in says will happen."""
        return self._said("question_text")

    @property
    def opt_in_hint(self) -> str:
        if self.setting.member is not None and self.setting.decided_by_organization:
            name = self.setting.organization.name
            return _("Your data still stays out for as long as %(name)s is opted out.") % {"name": name}
        return ""

    @property
    def facts(self) -> list[tuple[str, str]]:
        setting = self.setting
        facts = []
        if setting.since is not None:
            facts.append((_("Used since") if setting.is_in else _("Not used since"), day(setting.since)))
        if setting.event:
            facts.append((_("Number of the choice"), setting.event))
        if setting.lock_reference and self.for_operator:
            facts.append((_("Reference of the lock"), setting.lock_reference))
        if setting.members_opted_out is not None and setting.surface.product in WITH_MEMBERS:
            facts.append((_("Members who opted out themselves"), str(setting.members_opted_out)))
        return facts

    @property
    def plan(self) -> str:
        return self.setting.plan.name if self.setting.plan else ""

    @property
    def saved(self) -> str:
        setting = self.setting
        if setting.choice == Choice.OPTED_OUT:
            return f"{self._said('saved_out')} {self._said('saved_for_good')} {receipt(setting)}".strip()
        return self._said("saved_in" if setting.is_in else "saved_in_vain")

    @property
    def not_saved(self) -> str:
        if self.of_services:
            if self.setting.is_in:
                return _("Not saved. Still used to train our models or improve our services.")
            return _("Not saved. Still not used to train our models or improve our services.")
        if self.setting.is_in:
            return _("Not saved. Still used for training.")
        return _("Not saved. Still not used for training.")

    @property
    def failed(self) -> str:
        return " ".join((str(self.not_saved), _("Try again.")))


def receipt(setting: SettingView) -> str:
    """When the choice was saved, and the number of its event in the ledger, which History and e-mails give too."""
    if setting.event is None or setting.changed_at is None:
        return ""
    words = {"date": time_zones.moment(setting.changed_at), "number": setting.event}
    return _("Saved on %(date)s, number %(number)s.") % words


def card_of(
    place: Place, actor: Actor, setting: SettingView, *, version: int | None = None, way: Way | None = None
) -> Card:
    """The card of a setting; `version` is the one that the reader saw, if it is not the current one."""
    by_operator = place.member is None and acts_as_operator(actor, Permission.CONSENT_CHOOSE, place.organization)
    return Card(
        setting=setting,
        html_id=place.html_id,
        url=place.url,
        version=setting.version if version is None else version,
        needs_reason=setting.opt_in_needs_reason or by_operator,
        for_operator=actor.is_operator,
        by_operator=by_operator,
        confirms_person=opt_in_act(needs_reason=setting.opt_in_needs_reason, by_operator=by_operator) is not None,
        way=way,
        way_url=place.way_url(setting.event) if way and place.way_url and setting.event else "",
        why_url=place.why_url,
    )


def card_at(place: Place, actor: Actor, *, version: int | None = None) -> Card:
    """The card of the setting as it is now."""
    if place.member is not None:
        setting = privacy_settings.member_setting(place.member, place.surface, actor)
    else:
        setting = privacy_settings.organization_setting(place.organization, place.surface, actor)
    way = ways_of_choices([setting]).get(setting.event or "")
    return card_of(place, actor, setting, version=version, way=way)
