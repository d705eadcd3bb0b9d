"""The navigation at the side of every page: the console's for an organization, and the operators' own."""

import dataclasses
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.access import ROLE_PERMISSIONS, Actor, Permission, role_of
from accounts.models import Member, Organization, OrganizationKind, Subscription
from accounts.operators import second_person

from .jobs import approval
from .services import operator_requests
from .surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from .witness import quarantine

CONSOLE_ROLES = tuple(role for role, held in ROLE_PERMISSIONS.items() if Permission.CONSENT_VIEW in held)
_SWITCHER_LENGTH = 8
_COUNTED = 100  # at most so many of what waits are counted

Words = str | Promise


@dataclasses.dataclass(frozen=True)
class Link:
    label: Words
    url: str
    # For aria-current: "page" for the page itself, "true" for a page below it, else "".
    current: str
    # How many things wait for this person there.
    badge: int = 0


@dataclasses.dataclass(frozen=True)
class Group:
    heading: Words
    links: tuple[Link, ...]


@dataclasses.dataclass(frozen=True)
class Navigation:
    person: str
    standing: Words
    is_operator: bool
    organization: Organization | None
    plans: str
    consoles: list[Organization]
    more_consoles: bool
    groups: list[Group]
    # Also in the person's menu, and for operators only there.
    account: Group
    # Why the database is in quarantine; '' if it is not.
    trouble: Words = ""

    @property
    def waiting(self) -> int:
        return sum(link.badge for group in self.groups for link in group.links)


def navigation_of(request: HttpRequest, actor: Actor, organization: Organization | None = None) -> Navigation:
    """The navigation for a page of this organization; without one, the operators' own or that of the only console."""
    # One more than the switcher shows tells whether there are more.
    consoles = list(own_consoles(actor)[: _SWITCHER_LENGTH + 1])
    if organization is None and len(consoles) == 1 and not actor.is_operator:
        organization = consoles[0]
    role = role_of(actor, organization) if organization else None
    link = _links_of(request.path)
    if organization:
        may_manage = actor.is_operator or (role is not None and Permission.WEBHOOKS_MANAGE in ROLE_PERMISSIONS[role])
        groups = _console_groups(link, organization, may_manage=may_manage)
    else:
        groups = _operator_groups(link, actor) if actor.is_operator else []
    account = _account_group(link)
    return Navigation(
        person=str(request.user),
        standing=role.label if role else _("Operator") if actor.is_operator else request.user.get_username(),
        is_operator=actor.is_operator,
        organization=organization,
        plans=plan_names(organization) if organization else "",
        consoles=consoles[:_SWITCHER_LENGTH],
        more_consoles=len(consoles) > _SWITCHER_LENGTH,
        groups=groups if actor.is_operator else [*groups, account],
        account=account,
        trouble=quarantine.in_words(),
    )


def own_consoles(actor: Actor) -> Any:
    """The organizations whose console the person may open by their own role there, ordered by name."""
    mine = Member.objects.active().of_person(actor).filter(role__in=CONSOLE_ROLES)
    return Organization.objects.filter(pk__in=mine.values("organization_id")).order_by("name", "pk")


def plan_names(organization: Organization) -> str:
    live = (
        Subscription.objects.filter(organization=organization, ended_at=None)
        .select_related("plan")
        .order_by("plan__position")
    )
    return " · ".join(subscription.plan.name for subscription in live)


MakeLink = Callable[..., Link]


def _links_of(path: str) -> MakeLink:
    """A function that makes links and marks the one that leads to this path, or to a page above it."""

    def link(
        label: Words, name: str, *args: Any, badge: int = 0, alone: bool = False, below: tuple[str, ...] = ()
    ) -> Link:
        """`alone`: other links lead below this one's page, so it is current only for its own.

        `below`: names of pages that it leads to, whose URLs don't begin with its own.
        """
        url = reverse(name, args=args)
        beginnings = tuple(map(reverse, below)) if alone else (url, *map(reverse, below))
        current = "page" if path == url else "true" if path.startswith(beginnings) else ""
        return Link(label, url, current, badge)

    return link


def _console_groups(link: MakeLink, organization: Organization, *, may_manage: bool) -> list[Group]:
    def of(label: Words, name: str, **how: Any) -> Link:
        return link(label, f"console:{name}", organization.pk, **how)

    people = () if organization.kind == OrganizationKind.PERSONAL else (of(_("Members"), "members"),)
    groups = [
        Group("", (of(_("Overview"), "overview", alone=True),)),
        Group(LE_CHAT_CONSOLE.path[0], (of(LE_CHAT_CONSOLE.path[1], "le-chat"), *people)),
        Group(AI_STUDIO_CONSOLE.product.label, (of(AI_STUDIO_CONSOLE.path[0], "privacy"),)),
        Group(_("Records"), (of(_("History"), "history"),)),
    ]
    if may_manage:
        groups.append(Group(_("Developers"), (of(_("API keys"), "settings"), of(_("Webhooks"), "webhooks"))))
    return groups


def _operator_groups(link: MakeLink, actor: Actor) -> list[Group]:
    def of(label: Words, name: str, **how: Any) -> Link:
        return link(label, f"admin:{name}", **how)

    second = second_person(actor)
    jobs = approval.to_approve(second)[:_COUNTED].count() if second else 0
    requests = operator_requests.to_confirm(second)[:_COUNTED].count() if second else 0
    return [
        Group("", (of(_("Overview"), "index", alone=True),)),
        Group(
            _("Find"),
            (
                of(_("Organizations"), "accounts_organization_changelist"),
                of(_("People"), "accounts_user_changelist"),
                of(_("Memberships"), "accounts_member_changelist"),
            ),
        ),
        Group(
            _("Change"),
            (
                of(_("Bulk change"), "bulk"),
                of(_("Import"), "import"),
                of(_("Jobs"), "consent_bulkjob_changelist", badge=jobs),
                of(_("Requests"), "consent_operatorrequest_changelist", badge=requests),
                of(_("Plans"), "accounts_plan_changelist"),
                of(_("Products"), "products"),
            ),
        ),
        Group(
            _("Records"),
            (
                of(_("Ledger"), "consent_consentevent_changelist"),
                of(_("Locks"), "consent_lock_changelist"),
                of(_("Why?"), "why"),
                of(_("Wordings"), "wordings"),
                of(_("Training runs"), "consent_trainingrun_changelist"),
            ),
        ),
        Group(
            _("Integrations"),
            (
                of(_("Consumers"), "consent_consumer_changelist"),
                of(_("Webhooks"), "consent_webhookendpoint_changelist"),
                of(_("API keys"), "accounts_apikey_changelist"),
            ),
        ),
    ]


def _account_group(link: MakeLink) -> Group:
    return Group(
        _("Your account"),
        (
            link(LE_CHAT_MOBILE.path[0], "console:own-settings", alone=True),
            link(LE_CHAT_MOBILE.path[-1], "console:data-controls"),
            link(_("Profile"), "console:profile", below=("account_email",)),
            link(_("Sign-in and security"), "mfa_index", below=("usersessions_list", "account_change_password")),
            link(_("Notifications"), "console:notifications"),
            link(_("Can I opt out?"), "console:opt-out-help"),
        ),
    )
