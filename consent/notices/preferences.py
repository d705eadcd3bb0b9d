"""Which kinds of e-mail a person gets, and which they have switched off."""

from collections.abc import Collection

from django.db import transaction

from accounts.access import MANAGING_ROLES
from accounts.models import Member, MemberRole, OrganizationKind, User

from ..models import NoticeOff
from .catalogue import ENTRIES, Audience, Notice


def notices_of(user: User) -> list[Notice]:
    """The kinds that this person may get, as things stand."""
    own = Member.objects.active().filter(user=user)
    held = set(own.values_list("role", "organization__kind").distinct().order_by())
    roles = {role for role, _kind in held}
    audiences = {Audience.EVERYBODY}
    if any(kind == OrganizationKind.TEAM for _role, kind in held):
        audiences.add(Audience.MEMBERS)
    if (MemberRole.OWNER, OrganizationKind.TEAM) in held:
        audiences.add(Audience.TEAM_OWNERS)
    if user.is_staff:
        audiences |= {Audience.OPERATORS, Audience.KEEPERS}
    if MemberRole.OWNER in roles:
        audiences.add(Audience.OWNERS)
    if roles & MANAGING_ROLES:
        audiences.add(Audience.KEEPERS)
    return [notice for notice, entry in ENTRIES.items() if entry.audience in audiences]


def switched_off(user: User) -> set[str]:
    return set(NoticeOff.objects.filter(user=user).values_list("notice", flat=True))


@transaction.atomic
def keep(user: User, wanted: Collection[str]) -> None:
    """Of the optional kinds that the person may get, switch on those `wanted` and off all others."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)  # two saves at once: the second one holds
    for notice in notices_of(user):
        if not ENTRIES[notice].optional:
            continue
        if notice in wanted:
            NoticeOff.objects.filter(user=user, notice=notice).delete()
        else:
            NoticeOff.objects.get_or_create(user=user, notice=notice)
