"""The rows of a job that rebinds external ids (R16): frozen by the preview, and applied chunk by chunk.

A row is an external id and its new subject. It is applied only if the id still means, or last meant, the subject that
it did at the preview; this is checked again under locks. Such a job is undone by another one of the same kind.
"""

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.catalogue import Product
from accounts.external_ids import erased_hash
from accounts.fields import split_ident
from accounts.models import Binding, Member, Organization
from config.batched import batched

from .. import ledger, rules
from ..errors import Invalid, Refused
from ..models import BulkJob, PrivacySetting, RebindRow
from ..rules import Choice
from ..services import choices, external_ids, layers
from ..services.choices import Chosen
from ..services.external_ids import TAKEN, Subject
from ..surfaces import MEMBER_SURFACES, organization_surface
from .approval import AUTHORITY_ENDED, may_still_loosen
from .cases import CHANGE, CHANGED_SINCE, SAME
from .list_errors import BadList, Faults
from .origins import origin_of
from .rebind_files import COLUMNS, Rebinding, fault
from .selection import ListError

_PAGE = 1_000
LEFT = rules.Reason.MEMBER_LEFT.value


# --- Freezing ---------------------------------------------------------------------------------------------------------


def freeze(job: BulkJob, wishes: Iterable[Rebinding | ListError]) -> None:
    """Store the rows of the job, in order of the file. Raises BadList if one is invalid, or an id gets two subjects."""
    faults, made, known = Faults(), 0, dict[_Key, tuple[object, object]]()
    for page in batched(wishes, _PAGE):
        rows: list[RebindRow] = []
        for line, row in _looked_up(job, page, faults):
            key, subject = _key(row), (row.organization_id, row.member_id)
            # An id that is listed twice for the same subject is one row.
            if key not in known:
                known[key] = subject
                rows.append(row)
            elif known[key] != subject:
                faults.add(
                    fault(
                        line, COLUMNS[0], _("This external id appears earlier in the file for another. Keep only one.")
                    )
                )
        _number_and_keep(rows, made)
        made += len(rows)
    if faults.count:
        raise BadList(faults, Faults())
    _keep_size(job, made)


def freeze_undo(job: BulkJob, undone: BulkJob) -> None:
    """Store rows that give each id back to its former subject, or withdraw it if it had none just before the job.

    Like every rebinding it is dated from when it runs.
    """
    made = 0
    done = undone.rebind_rows.filter(outcome=CHANGE).exclude(external_id="")  # '' is an id that was erased since
    done = done.select_related("seen", "made").order_by("number")
    for row in done.iterator(_PAGE):
        made += 1
        before = row.seen
        # Whether the id was live until the job moved it; if it was withdrawn before that, it meant nobody.
        back = before is not None and (row.made is None or before.withdrawn_at == row.made.recorded_at)
        subject = before if back and before else row
        RebindRow.objects.create(
            job=job,
            number=made,
            external_id=row.external_id,
            of_member=row.of_member,
            organization_id=subject.organization_id,
            member_id=subject.member_id,
            withdraws=not back,
            seen_id=row.made_id or row.seen_id,
        )
    _keep_size(job, made)


def _number_and_keep(rows: Sequence[RebindRow], before: int) -> None:
    last = last_meanings(rows)
    for number, row in enumerate(rows, start=before + 1):
        row.number, row.seen_id = number, last.get(_key(row))
    RebindRow.objects.bulk_create(rows)


def _keep_size(job: BulkJob, rows: int) -> None:
    job.matched = rows
    job.save(update_fields=["matched"])


_Key = tuple[uuid.UUID | None, str]


def _key(row: RebindRow) -> _Key:
    """The scope of an id (for a member's the organization, else None), and the id."""
    return (row.organization_id if row.of_member else None, row.external_id)


def last_meanings(rows: Iterable[RebindRow]) -> dict[_Key, int]:
    """Scope and id → pk of its last binding. Finds erased bindings too, by their hash."""
    found: dict[_Key, tuple[int, int]] = {}
    hashes = {erased_hash(row.external_id, _key(row)[0]): _key(row) for row in rows}
    values = {row.external_id for row in rows}
    given = Binding.objects.filter(Q(value__in=values) | Q(hash__in=hashes))
    columns = ("pk", "number", "organization_id", "member_id", "value", "hash")
    for pk, number, organization, member, value, digest in given.values_list(*columns):
        # An erased binding has no value; its hash tells which id it was.
        key = hashes.get(digest) or (organization if member else None, value)
        found[key] = max(found.get(key, (0, 0)), (number, pk))
    return {key: pk for key, (_number, pk) in found.items()}


def _looked_up(job: BulkJob, page: Sequence[Rebinding | ListError], faults: Faults) -> Iterator[tuple[int, RebindRow]]:
    """Line and row of each valid rebinding; the others are added to `faults`."""
    wishes = [each for each in page if isinstance(each, Rebinding)]
    for each in page:
        if isinstance(each, ListError):
            faults.add(each)
    organizations = _organizations({each.organization for each in wishes})
    for wish in wishes:
        try:
            yield wish.line, _row(job, wish, organizations.get(wish.organization))
        except Invalid as error:
            faults.add(fault(wish.line, error.field, str(error)))


def _row(job: BulkJob, wish: Rebinding, organization: Organization | None) -> RebindRow:
    value = external_ids.clean_external_id(wish.external_id)
    if value is None:
        raise Invalid("required", _("It is empty."), COLUMNS[0])
    if organization is None:
        raise Invalid("unknown", _("There is no organization “%s”.") % wish.organization[:80], COLUMNS[1])
    member = organization.members.identified_by(wish.member).first() if wish.member else None
    if wish.member and member is None:
        raise Invalid("unknown", _("The organization has no member “%s”.") % wish.member[:80], COLUMNS[2])
    return RebindRow(job=job, external_id=value, organization=organization, member=member, of_member=member is not None)


def _organizations(idents: set[str]) -> dict[str, Organization]:
    split = {ident: split_ident(ident) for ident in idents}
    named = Binding.objects.organizations_named({value for _pk, value in split.values() if value})
    meant = {ident: pk or named.get(value or "") for ident, (pk, value) in split.items()}
    found = Organization.objects.in_bulk({pk for pk in meant.values() if pk})
    return {ident: found[pk] for ident, pk in meant.items() if pk in found}


# --- Previewed --------------------------------------------------------------------------------------------------------


def preview(job: BulkJob) -> Counter[str]:
    """What a run would do now: outcome → number of rows."""
    return Counter(outcome for page in _pages(job) for _row, outcome in _judged(page))


def digest(job: BulkJob) -> str:
    """Hash of the rows and of the last binding of each id: it changes once any of the ids gets another meaning."""
    seen = hashlib.sha256(f"{job.kind}|{job.reason}|{job.undoes_id or ''}".encode())
    for page in _pages(job):
        last = last_meanings(page)
        for row in page:
            facts = (row.external_id, row.organization_id, row.member_id, row.withdraws, last.get(_key(row)))
            seen.update(f"\n{facts}".encode())
    return seen.hexdigest()


def _pages(job: BulkJob, first: int = 0, last: int | None = None) -> Iterator[list[RebindRow]]:
    rows = job.rebind_rows.select_related(
        "organization", "member__user", "seen__organization", "seen__member__user", "made"
    )
    rows = rows.filter(number__lte=job.matched if last is None else last)
    while page := list(rows.filter(number__gt=first).order_by("number")[:_PAGE]):
        yield page
        first = page[-1].number


def _judged(page: Sequence[RebindRow]) -> Iterator[tuple[RebindRow, str]]:
    """What would become of each row now: change, same, or the reason why it is skipped."""
    last = last_meanings(page)
    live = set(Binding.objects.live().filter(pk__in=last.values()).values_list("pk", flat=True))
    for row in page:
        seen = row.seen
        if row.outcome:
            yield row, row.outcome
        elif not row.external_id or last.get(_key(row)) != row.seen_id:
            yield row, CHANGED_SINCE  # '': the id was erased since
        elif row.withdraws:  # before the check for members who left: their ids may be withdrawn
            yield row, CHANGE if row.seen_id in live else SAME
        elif row.member is not None and row.member.has_left:
            yield row, LEFT
        elif seen and row.seen_id in live and _means(row, seen):
            yield row, SAME
        else:
            yield row, CHANGE


def _means(row: RebindRow, binding: Binding) -> bool:
    return (binding.organization_id, binding.member_id) == (row.organization_id, row.member_id)


class Listed(NamedTuple):
    """A row: the id, its new subject, the outcome, and the subjects before and after, in words."""

    number: int
    external_id: str
    organization: Organization
    member: uuid.UUID | None
    outcome: str
    before: str
    after: str


def listed(job: BulkJob, after: int = 0) -> Iterator[Listed]:
    """The rows with numbers above `after`, in order."""
    for page in _pages(job, after):
        for row, outcome in _judged(page):
            yield _listed(row, outcome)


def sample(job: BulkJob, size: int = 10) -> list[Listed]:
    """Some of the rows that would change, then some that would not."""
    found: list[Listed] = []
    for page in _pages(job):
        found += [_listed(row, outcome) for row, outcome in _judged(page)]
        if sum(each.outcome == CHANGE for each in found) >= size:
            break
    return sorted(found, key=lambda each: each.outcome != CHANGE)[:size]


def _listed(row: RebindRow, outcome: str) -> Listed:
    organization = row.organization or (row.seen.organization if row.seen else None)
    if organization is None:
        raise RuntimeError(f"row {row.number} is about nobody")
    # A binding that is live, or that this job ended, shows the subject before; one that ended earlier meant nobody.
    made_at = row.made.recorded_at if row.made else None
    seen = row.seen if row.seen and row.seen.withdrawn_at in (None, made_at) else None
    before = _named(seen.organization, seen.member) if seen else ""
    after = "" if row.withdraws else _named(organization, row.member)
    return Listed(row.number, row.external_id, organization, row.member_id, outcome, before, after)


def _named(organization: Organization, member: Member | None) -> str:
    return f"{organization.name}, {member.user}" if member else organization.name


# --- Applied ----------------------------------------------------------------------------------------------------------


def apply(job: BulkJob, last: int) -> Counter[str]:
    """Apply the rows after the job's cursor up to `last`; returns outcome → number. Expects the chunk's transaction."""
    if job.approver_id is None:
        raise RuntimeError("this would loosen, and nobody has approved it")
    origin, outcomes = origin_of(job), Counter[str]()
    ended = not may_still_loosen(job)
    for page in _pages(job, job.cursor, last):
        # Locked first, judged then: what is judged can't change before the commit.
        subjects = _locked(page)
        for row, found in _judged(page):
            row.outcome = AUTHORITY_ENDED if ended and found == CHANGE else found
            if row.outcome == CHANGE and not _changed(row, subjects, origin):
                row.outcome = CHANGED_SINCE
            outcomes[row.outcome] += 1
        RebindRow.objects.bulk_update(page, ["outcome", "made"], batch_size=500)
    return outcomes


_Subjects = dict[tuple[uuid.UUID | None, uuid.UUID | None], Subject]


def _locked(page: Sequence[RebindRow]) -> _Subjects:
    """Lock the old and new subjects of the ids, and refresh the rows' members.

    Organizations come first, then members, each in order of id: the same order everywhere, so there is no deadlock.
    """
    pairs = {(each.organization_id, each.member_id) for row in page for each in (row, row.seen) if each}
    organizations = Organization.objects.filter(pk__in={organization for organization, _member in pairs})
    found = {each.pk: each for each in organizations.select_for_update(no_key=True).order_by("pk")}
    members = Member.objects.filter(pk__in={member for _organization, member in pairs if member})
    people = {each.pk: each for each in members.select_for_update(no_key=True).order_by("pk")}
    subjects: _Subjects = {}
    for organization, member in pairs:
        if organization is not None:
            subjects[organization, member] = Subject(found[organization], people[member] if member else None)
    for row in page:  # as they are now, not as they were before the lock
        row.member = people[row.member_id] if row.member_id else None
    return subjects


def _changed(row: RebindRow, subjects: _Subjects, origin: ledger.Origin) -> bool:
    """Apply a row. Returns False if another transaction has just given the id, which meant nobody, to somebody.

    An id that means somebody can't be taken like that, because its subject is locked. So nothing of the row has been
    written when this fails.
    """
    try:
        with transaction.atomic():
            _change(row, subjects, origin)
    except Refused as error:
        if error.code != TAKEN:
            raise
        return False
    return True


def _change(row: RebindRow, subjects: _Subjects, origin: ledger.Origin) -> None:
    seen = Binding.objects.get(pk=row.seen_id) if row.seen_id else None
    # The subject that the id means now; None if the id was withdrawn before.
    holder = subjects[seen.organization_id, seen.member_id] if seen and seen.withdrawn_at is None else None
    if row.withdraws:
        if seen is not None and holder is not None:
            external_ids.withdraw(holder, seen, origin)
        return
    subject = subjects[row.organization_id, row.member_id]
    _keep_opt_outs(subject, row.external_id, origin)
    row.made = external_ids.rebind(subject, row.external_id, seen, holder, origin)


def _keep_opt_outs(subject: Subject, value: str, origin: ledger.Origin) -> None:
    """Give the new subject the opt-outs of both former ones, if the id is contested.

    Two subjects had such an id, before ids that differ only in spelling became the same.
    """
    meanings = [each for each in Binding.objects.ever(value, subject.scope) if not subject.has(each)]
    if not any(each.contested for each in meanings):
        return
    settings = PrivacySetting.objects.filter(choice=Choice.OPTED_OUT)
    if subject.member is None:
        settings = settings.filter(member=None, organization__in={each.organization_id for each in meanings})
    else:
        settings = settings.filter(member__in={each.member_id for each in meanings})
    for product in sorted(set(settings.values_list("product", flat=True))):
        _opt_out(subject, Product(product), origin)


def _opt_out(subject: Subject, product: Product, origin: ledger.Origin) -> None:
    organization, member = subject
    if member is None:
        setting, surface = layers.lock_setting(organization, product), organization_surface(product)
    else:
        setting, surface = layers.lock_member_setting(member, product), MEMBER_SURFACES[0]
    if setting.choice == Choice.OPTED_OUT:
        return
    at = ledger.clock(setting.changed_at, organization.created_at, member.joined_at if member else None)
    choices.choose_many([Chosen(setting, Choice.OPTED_OUT, surface)], origin, at)
