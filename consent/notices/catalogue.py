"""The catalogue of notices: every kind of e-mail that the portal sends because something happened.

The page of preferences, `sending` and docs/notices.md are made from this table; a test compares the last.
"""

import dataclasses
from enum import StrEnum, auto

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = str | Promise


class Notice(StrEnum):
    """The kinds of e-mail, each by the name of its template; a person's choices are stored by these names."""

    LOOSENED = auto()
    MEMBERS_TOLD = auto()
    OWNERS_CHANGED = auto()
    WEBHOOK_PAUSED = auto()
    SECRET_ROTATED = auto()
    SUSPENDED = auto()
    OPERATOR_MADE = auto()
    ADDRESS_CHANGED = auto()
    ADDRESS_CONFIRM = auto()
    PASSWORD_LINK = auto()
    INVITATION = auto()
    OPT_OUT_SAVED = auto()
    TIGHTENED = auto()
    WAITING = auto()
    JOB_FAILED = auto()
    CONSUMER_OVERDUE = auto()
    REMOVAL_OVERDUE = auto()


class Audience(StrEnum):
    """Whom the page of preferences shows a notice to."""

    EVERYBODY = auto()
    MEMBERS = auto()  # of teams
    OWNERS = auto()
    TEAM_OWNERS = auto()
    KEEPERS = auto()  # of API keys and webhooks: owners, admins, operators
    OPERATORS = auto()


@dataclasses.dataclass(frozen=True)
class Entry:
    """One kind of notice. `always` says why it can't be switched off; '' if it can.

    `mass`: one act may send a million of them, so they wait for all other mail, such as links that somebody waits for.
    """

    label: Words
    what: Words
    who: Words
    audience: Audience
    always: Words = ""
    mass: bool = False

    @property
    def optional(self) -> bool:
        return not self.always


_OWNERS, _PERSON = _("The organization's owners"), _("The person themselves")
_KEEPER = _("Whoever is responsible for it; else the owners, or the operators")

ENTRIES: dict[Notice, Entry] = {
    Notice.LOOSENED: Entry(
        _("Data is used from now on"),
        _("Data that was not used for training begins to be used, whoever caused it."),
        _OWNERS,
        Audience.OWNERS,
        _("If it is a mistake, each day counts: nobody's data may begin to be used unnoticed."),
        mass=True,
    ),
    Notice.MEMBERS_TOLD: Entry(
        _("Your organization allows training"),
        _("Your data begins to be used for training, because your organization allows it; and what you can do."),
        _("The members whose data it is"),
        Audience.MEMBERS,
        _("It is your data: nobody may begin to use it without telling you."),
        mass=True,
    ),
    Notice.OWNERS_CHANGED: Entry(
        _("The provider changed an owner"),
        _("The provider added or removed an owner, or changed an owner's role."),
        _("The organization's owners, and whoever it is about"),
        Audience.TEAM_OWNERS,
        _("An owner decides about all data, so nobody becomes one unnoticed."),
        mass=True,
    ),
    Notice.WEBHOOK_PAUSED: Entry(
        _("A webhook is paused"),
        _("A webhook of yours no longer sends, because its receiver keeps failing."),
        _KEEPER,
        Audience.KEEPERS,
        _("Until it goes on, your receiver hears of no opt-out."),
    ),
    Notice.SECRET_ROTATED: Entry(
        _("A webhook has a new signing secret"),
        _("The provider changed its keys, and your receiver needs the new secret."),
        _OWNERS,
        Audience.OWNERS,
        _("Without the new secret your receiver soon refuses all messages, opt-outs among them."),
        mass=True,
    ),
    Notice.SUSPENDED: Entry(
        _("Keys or webhooks are suspended"),
        _("The person responsible for API keys or webhooks has left or lost the right to have them."),
        _("The organization's owners; else the operators"),
        Audience.KEEPERS,
        _("Whatever uses them has stopped, until somebody takes them over."),
    ),
    Notice.OPERATOR_MADE: Entry(
        _("There is a new operator"),
        _("Somebody became an operator, or an operator can sign in again."),
        _("All operators"),
        Audience.OPERATORS,
        _("Nobody becomes an operator unnoticed."),
    ),
    Notice.ADDRESS_CHANGED: Entry(
        _("Your address was changed"),
        _("Operators changed the address that you sign in with; sent to the old one."),
        _PERSON,
        Audience.EVERYBODY,
        _("If you did not ask for it, somebody may be taking over your account."),
    ),
    Notice.ADDRESS_CONFIRM: Entry(
        _("Confirm your new address"),
        _("Links to confirm another address; sent to the old and the new one."),
        _PERSON,
        Audience.EVERYBODY,
        _("Sent only when you ask for it."),
    ),
    Notice.PASSWORD_LINK: Entry(
        _("Set your password"),
        _("A link to set a password."),
        _PERSON,
        Audience.EVERYBODY,
        _("Without it you could not sign in."),
    ),
    Notice.INVITATION: Entry(
        _("An organization invites you"),
        _("An invitation to join an organization."),
        _("Whoever is invited"),
        Audience.EVERYBODY,
        _("Without it you could not join."),
    ),
    Notice.OPT_OUT_SAVED: Entry(
        _("Your opt-out is saved"),
        _("You opted out: the confirmation, with its date and number."),
        _("Whoever opted out"),
        Audience.EVERYBODY,
    ),
    Notice.TIGHTENED: Entry(
        _("Data is no longer used"),
        _("Something that the provider did ends the use of data for training."),
        _("The organization's owners; the member, where it is their own setting"),
        Audience.EVERYBODY,
        mass=True,
    ),
    Notice.WAITING: Entry(
        _("Something waits for you"),
        _("A bulk job or a request of another operator waits for a second operator, who could be you."),
        _("Every operator who may approve it"),
        Audience.OPERATORS,
    ),
    Notice.JOB_FAILED: Entry(
        _("A job failed"),
        _("A job that you wrote or submitted stopped with an error."),
        _("Who wrote it, and who submitted it"),
        Audience.OPERATORS,
    ),
    Notice.CONSUMER_OVERDUE: Entry(
        _("An opt-out is not applied in time"),
        _("A system that uses data has not said, in the time allowed, that it has applied what tightens."),
        _("All operators; once each time it falls behind"),
        Audience.OPERATORS,
        _("We promise that the data is no longer used: somebody has to look."),
    ),
    Notice.REMOVAL_OVERDUE: Entry(
        _("A removal is overdue"),
        _("Data that may no longer be used was not removed from a training run in time; once for each run."),
        _("All operators"),
        Audience.OPERATORS,
        _("People were promised that their data is no longer used."),
    ),
}
