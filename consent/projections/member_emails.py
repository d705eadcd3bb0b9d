"""E-mail to the members of a team whose data begins to be used, in batches, at most one for each event and member.

The follower only notes the event: a team may have a hundred thousand members, and its transaction must be short.
"""

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from accounts import outbox
from accounts.catalogue import Product
from accounts.models import Member, MemberRole, OrganizationKind

from ..models import Choice, ConsentEvent, MembersToTell, PrivacySetting
from ..notices.catalogue import Notice
from ..notices.sending import portal_url, send
from ..surfaces import WITH_MEMBERS
from .turns import Turns

BATCH = 500
# With more mails than this in the outbox, members wait: it need not hold a hundred thousand mails of one act.
ROOM = 1_000


def note_members_to_tell(turns: Turns) -> None:
    """Note the events after which members' data is used; in a personal organization the owner is told instead."""
    of_members = [event for event in turns.began if event.member_id is None and event.product in WITH_MEMBERS]
    noted = [event.pk for event in of_members]
    teams = ConsentEvent.objects.filter(pk__in=noted, organization__kind=OrganizationKind.TEAM)
    MembersToTell.objects.bulk_create([MembersToTell(event_id=pk) for pk in teams.values_list("pk", flat=True)])


@transaction.atomic
def tell_next_batch() -> bool:
    """Mail the next members who are to be told, and move the cursor; returns whether there was anything to do."""
    if outbox.is_full(ROOM):
        return False
    # Locked, so that no two workers mail the same members.
    rows = MembersToTell.objects.select_for_update(skip_locked=True, of=("self",))
    row = rows.order_by("event_id").first()
    if row is None:
        return False
    event = ConsentEvent.objects.select_related("organization").get(pk=row.event_id)
    members = [] if _is_over(event) else _next_members(event, row)
    if not members:
        row.delete()
        return True
    send(
        Notice.MEMBERS_TOLD,
        [member.user.email for member in members],
        _("%(organization)s allows training on your data"),
        organization=event.organization,
        product=Product(event.product or "").label,
        at=event.recorded_at,
        url=portal_url("console:data-controls"),
    )
    row.cursor = members[-1].pk
    row.save(update_fields=["cursor"])
    return True


def _is_over(event: ConsentEvent) -> bool:
    """Whether the data has ceased to be used since the event, so that nobody may be told that it is."""
    later = ConsentEvent.objects.filter(organization=event.organization_id, product=event.product, member=None)
    return later.filter(recorded_at__gt=event.recorded_at, allowed=False).exists()


def _next_members(event: ConsentEvent, row: MembersToTell) -> list[Member]:
    """Those whose data is used from the event on: not those who opted out; owners get the mail to owners."""
    members = Member.objects.active().filter(
        organization=event.organization_id, joined_at__lte=event.recorded_at, user__is_active=True
    )
    out = PrivacySetting.objects.filter(member=OuterRef("pk"), product=event.product, choice=Choice.OPTED_OUT)
    members = members.exclude(role=MemberRole.OWNER).filter(~Exists(out))
    if row.cursor is not None:
        members = members.filter(pk__gt=row.cursor)
    return list(members.select_related("user").order_by("pk")[:BATCH])
