"""The rows of a job: frozen by the preview, in order of organization; their counts, sample and digest."""

import copy
import dataclasses
import datetime as dt
import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db import connection
from django.db.models import F, OuterRef, QuerySet, Subquery, Value, Window
from django.db.models.functions import RowNumber
from django.utils.translation import gettext as _

from accounts.fields import from_micros, from_raw_id, raw_id
from accounts.models import Organization

from ..errors import Refused
from ..models import BulkJob, JobKind, PrivacySetting
from ..rules import Reason
from ..surfaces import organization_surface
from . import cases, rebinding
from .cases import GroupOutcome, StateGroup
from .selection import Selection
from .sql import NOTE_VERSIONS, count_listed, count_shapes, select_listed, select_sample

_BATCH = 5_000
_LAST = 2**63 - 1
PRODUCTS = "products"  # key in an undo's selection: pairs of product and number of its last row, in order


@dataclasses.dataclass(frozen=True)
class Preview:
    """What a run would do now; `outcomes`: change, same, or reason of refusal → number of rows."""

    outcomes: Mapping[str, int]
    loosens: bool
    summary: list[dict[str, Any]]


def freeze_selection(job: BulkJob, selection: Selection) -> None:
    """Store the rows, by one INSERT … SELECT."""
    freeze_query(job, selection.organizations_for(job.product))


def freeze_query(job: BulkJob, organizations: QuerySet[Organization]) -> None:
    numbered = organizations.prefetch_related(None).annotate(number=Window(RowNumber(), order_by=F("pk").asc()))
    sql, parameters = numbered.order_by().values_list("number", "pk").query.sql_with_params()
    _insert(job, f"SELECT %s, x.*, '', '', '' FROM ({sql}) AS x", [raw_id(job.pk), *parameters])


def freeze_undo(job: BulkJob, undone: BulkJob) -> None:
    """Store a row for each choice that `undone` made, with the choice and the carry before it.

    An import may have several products: then each has its own range of rows. Members' choices are not undone.
    """
    # `e.before` is the choice before; the carry before is that of the layer's event before `e`.
    sql = """
        SELECT %s, ROW_NUMBER() OVER (ORDER BY e.product, e.organization_id), e.organization_id, e.before, COALESCE((
            SELECT x.carry FROM consent_consentevent AS x
            WHERE x.organization_id = e.organization_id AND x.product = e.product AND x.member_id IS NULL
              AND x.recorded_at < e.recorded_at ORDER BY x.recorded_at DESC LIMIT 1), ''), '', e.id
        FROM consent_consentevent AS e WHERE e.id BETWEEN %s AND %s AND e.job_id = %s AND e.member_id IS NULL
          AND e.kind LIKE 'choice.%%'"""
    written = [undone.first_event or 0, undone.last_event or _LAST, raw_id(undone.pk)]
    _insert(job, sql, [raw_id(job.pk), *written], event=True)
    if undone.kind == JobKind.IMPORT:
        _divide(job, written)


def _divide(job: BulkJob, written: list[Any]) -> None:
    """Store the range of rows of each product, and the number of members' choices, which count as refused.

    Raises Refused if there are no other choices.
    """
    with connection.cursor() as cursor:
        # Rows are numbered by product, so those of a product end at its highest number.
        cursor.execute(
            "SELECT e.product, MAX(r.number) FROM consent_bulkjobrow AS r JOIN consent_consentevent AS e"
            " ON e.id = r.event_id WHERE r.job_id = %s GROUP BY e.product ORDER BY 2",
            [raw_id(job.pk)],
        )
        parts = [list(part) for part in cursor.fetchall()]
        cursor.execute(
            "SELECT COUNT(*) FROM consent_consentevent WHERE id BETWEEN %s AND %s AND job_id = %s"
            " AND member_id IS NOT NULL",
            written,
        )
        (of_members,) = cursor.fetchone()
    if not parts:
        raise Refused("members", _("These are members' own choices; only the members can change them."))
    if len(parts) == 1:
        job.product, job.surface = parts[0][0], organization_surface(parts[0][0]).key
    else:
        job.selection = {PRODUCTS: parts}
    if of_members:
        job.refused, job.refusals = of_members, {Reason.MEMBER_OPTED_OUT.value: of_members}
    job.save(update_fields=["product", "surface", "selection", "refused", "refusals"])


def parts_of(job: BulkJob, first: int, last: int) -> Iterator[tuple[BulkJob, int, int]]:
    """Split the rows after `first` up to `last` by product.

    Yields a copy of the job with that product, and its range of rows: start (exclusive) and end (inclusive).
    """
    begin = 0
    for product, end in job.selection.get(PRODUCTS) or [(job.product, job.matched)]:
        if begin < last and end > first:
            of = copy.copy(job)
            if product != job.product:
                of.product, of.surface = product, organization_surface(product).key
            yield of, max(begin, first), min(end, last)
        begin = end


def _insert(job: BulkJob, select: str, parameters: list[Any], *, event: bool = False) -> None:
    columns = "job_id, number, organization_id, wanted, carry, refusal" + (", event_id" if event else "")
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO consent_bulkjobrow ({columns}) {select}", parameters)
        job.matched = cursor.rowcount
    job.save(update_fields=["matched"])


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows of one group of states, their outcome, their number, and the latest instant of a change of any of them."""

    shape: StateGroup
    answer: GroupOutcome
    count: int
    latest: dt.datetime


def note_versions(job: BulkJob) -> None:
    """Store the current version of each row's setting: a change that loosens applies only to this version.

    Call it before the preview is computed, so that no later version counts as previewed.
    """
    with connection.cursor() as cursor:
        for of, first, last in parts_of(job, 0, job.matched):
            cursor.execute(NOTE_VERSIONS, [of.product, raw_id(job.pk), first, last])


def shapes_of(job: BulkJob, first: int, last: int, obstacle: str = "") -> list[Group]:
    """Group the rows after `first` up to `last`, all of one product, by state; `obstacle` as in `cases.answer`."""
    with connection.cursor() as cursor:
        cursor.execute(count_shapes(job), [job.wanted, job.product, raw_id(job.pk), first, last])
        found = cursor.fetchall()
    kind, size, groups = JobKind(job.kind), len(StateGroup._fields), []
    for row in found:
        # SQLite returns 0 and 1 for booleans.
        parts = dict(zip(StateGroup._fields, row, strict=False))
        flags = {name: bool(parts[name]) for name, made in StateGroup.__annotations__.items() if made is bool}
        shape = StateGroup(**(parts | flags))
        count, changed_at, created_at = row[size:]
        groups.append(
            Group(shape, cases.answer(kind, shape, obstacle), count, from_micros(max(changed_at, created_at)))
        )
    return groups


def preview(job: BulkJob) -> Preview:
    """Preview the job: the database counts, and the rules are asked once for each group of states."""
    if job.kind == JobKind.REBIND:
        found = rebinding.preview(job)
        same = {"plan": "", "before": "", "after": "", "used_before": None, "used_after": None}
        lines = [same | {"outcome": outcome, "count": count} for outcome, count in found.most_common()]
        return Preview(dict(found), loosens=True, summary=lines)
    outcomes, loosens, lines = Counter[str](job.refusals), False, list[dict[str, Any]]()
    for of, first, last in parts_of(job, 0, job.matched):
        groups = shapes_of(of, first, last)
        for group in groups:
            outcomes[group.answer.outcome] += group.count
        loosens |= any(group.answer.loosens for group in groups)
        lines += _summary(of, groups, first, last)
    return Preview(dict(outcomes), loosens, lines)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A row with its current and new values; `used_…`: whether the organization's layer allows use."""

    number: int
    organization: Organization
    wanted: str
    plan: str
    before: str
    after: str
    used_before: bool
    used_after: bool
    outcome: str


def sample(job: BulkJob, size: int = 10) -> list[Sample]:
    """At most `size` rows: some that would change, then some that would not."""
    found: list[Sample] = []
    for of, first, last in parts_of(job, 0, job.matched):
        groups = shapes_of(of, first, last)
        found += _listed(of, groups, select_sample, first, last, size - len(found)) if groups else []
    return found


def listed(job: BulkJob, first: int, last: int) -> list[Sample]:
    """The rows after `first` up to `last`, in order."""
    found: list[Sample] = []
    for of, begin, end in parts_of(job, first, last):
        groups = shapes_of(of, begin, end)
        found += _listed(of, groups, select_listed, begin, end) if groups else []
    return found


def _listed(
    job: BulkJob, groups: list[Group], statement: Callable[..., str], first: int, last: int, *more: int
) -> list[Sample]:
    answers = [(group.shape, group.answer) for group in groups]
    with connection.cursor() as cursor:
        cursor.execute(statement(job, answers), [job.product, job.wanted, raw_id(job.pk), first, last, *more])
        found = cursor.fetchall()
    ids = [from_raw_id(row[1]) for row in found]
    organizations = Organization.objects.in_bulk(ids)
    return [
        Sample(number, organizations[pk], wanted or job.wanted, plan, now, then, bool(used), bool(to_use), outcome)
        for pk, (number, _id, wanted, plan, now, then, used, to_use, outcome) in zip(ids, found, strict=True)
    ]


def _summary(job: BulkJob, groups: list[Group], first: int, last: int) -> list[dict[str, Any]]:
    """The rows counted by plan, current and new values, and outcome: what an approver reads first."""
    if not groups:
        return []
    answers = [(group.shape, group.answer) for group in groups]
    with connection.cursor() as cursor:
        cursor.execute(count_listed(job, answers), [job.product, job.wanted, raw_id(job.pk), first, last])
        found = cursor.fetchall()
    return [
        {"plan": plan, "before": before, "after": after, "outcome": outcome, "count": count}
        | {"used_before": bool(used_before), "used_after": bool(used_after)}
        for plan, before, after, used_before, used_after, outcome, count in found
    ]


def digest(job: BulkJob, selection: Selection | None) -> str:
    """Hash of the rows and the versions of their settings, to detect drift.

    It changes once an organization enters or leaves the selection, or its setting changes.
    """
    if job.kind == JobKind.REBIND:
        return rebinding.digest(job)
    seen = hashlib.sha256(f"{job.kind}|{job.product}|{job.plan}|{job.wanted}|{job.reason}".encode())
    for pk, wanted, version in _facts(job, selection):
        seen.update(f"\n{pk}|{wanted}|{version or 0}".encode())
    return seen.hexdigest()


def _facts(job: BulkJob, selection: Selection | None) -> Iterator[tuple[uuid.UUID, str, int | None]]:
    settings = PrivacySetting.objects.of_organizations()
    # Of a selection, the organizations that match now; else the rows of the job.
    if selection is not None and selection.to_json():
        of_product = settings.filter(organization=OuterRef("pk"), product=job.product)
        version = Subquery(of_product.values("version"))
        organizations = selection.organizations_for(job.product).annotate(wanted=Value(""), version=version)
        yield from organizations.values_list("pk", "wanted", "version").iterator(_BATCH)
        return
    for of, first, last in parts_of(job, 0, job.matched):
        of_product = settings.filter(organization=OuterRef("organization_id"), product=of.product)
        rows = job.rows.filter(number__gt=first, number__lte=last).order_by("number")
        listed = rows.annotate(version_now=Subquery(of_product.values("version")))
        yield from listed.values_list("organization_id", "wanted", "version_now").iterator(_BATCH)
