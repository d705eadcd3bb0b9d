"""Applies a chunk of an import in one transaction: new organizations by set-based SQL, other rows page by page."""

from collections import Counter
from collections.abc import Iterator, Sequence

from django.db.models import Count, Q

from accounts.models import Binding, MemberRole, Organization, OrganizationKind

from .. import ledger
from ..jobs.cases import CHANGED_SINCE
from ..jobs.origins import origin_of
from ..models import BulkJob, ImportRow, ImportTable, ProblemKind
from ..rules import Choice
from . import organizations
from .batches import CHANGE, Gate, apply_batch, join, opt, refuse
from .checking import erased_ids
from .fields import ImportPlan
from .judging import EXISTS, OPT_OUT, SAME
from .known import new_ones_of, settle
from .similar import SIMILAR, refuse_in_chunk

_PAGE = 1_000


def apply(job: BulkJob, last: int) -> Counter[str]:
    """Apply the rows after the job's cursor up to `last`; returns outcome (change, same, or why not) → number."""
    plan = ImportPlan.from_json(job.selection)
    origin = origin_of(job)
    outcomes: Counter[str] = Counter()
    # Rows that got their outcome when the file was read are only counted.
    settled = job.import_rows.filter(number__gt=job.cursor, number__lte=last).exclude(outcome__in=("", OPT_OUT))
    outcomes.update(dict(settled.order_by().values_list("outcome").annotate(Count("pk"))))
    if plan.table == ImportTable.ORGANIZATIONS:
        return outcomes + _organizations(job, plan, origin, last)
    for rows in _pages(job, last, ""):
        outcomes += apply_batch(job, origin, rows, plan)
    return outcomes


def _pages(job: BulkJob, last: int, outcome: str) -> Iterator[Sequence[ImportRow]]:
    done = job.cursor
    while page := list(
        job.import_rows.filter(number__gt=done, number__lte=last, outcome=outcome).order_by("number")[:_PAGE]
    ):
        yield page
        done = page[-1].number


def _hold_back(job: BulkJob, plan: ImportPlan, last: int) -> Counter[str]:
    """Refuse rows of new organizations that loosen, if the job may not loosen any more; returns outcome → number."""
    gate = Gate.of(job)
    changed = not gate.set_since.isdisjoint(plan.plans)
    obstacle = gate.obstacle or (CHANGED_SINCE if changed else "")
    if not obstacle:
        return Counter()
    # `loosens` was stored when the file was read. Rows older than that column have no version: they may loosen.
    loosening = Q(loosens=True) | Q(version=None)
    chunk = job.import_rows.filter(number__gt=job.cursor, number__lte=last, outcome="")
    rows = list(chunk.filter(loosening))
    if rows and job.approver_id is None:
        raise RuntimeError("this would loosen, and nobody has approved it")
    refuse(job, rows, obstacle, plan)
    return Counter({obstacle: len(rows)}) if rows else Counter()


def _organizations(job: BulkJob, plan: ImportPlan, origin: ledger.Origin, last: int) -> Counter[str]:
    # Rows that must not be created are marked first: `organizations.create` takes all that have no outcome.
    outcomes = _hold_back(job, plan, last)
    _mark_erased(job, last)
    if similar := refuse_in_chunk(job, plan, last):
        outcomes[SIMILAR] += similar
    made = organizations.create(job, plan, origin, last)
    taken = job.import_rows.filter(number__gt=job.cursor, number__lte=last, outcome=EXISTS)
    if late := list(taken):  # somebody has created them since the file was read
        settle(job, plan, new_ones_of(plan), late, ProblemKind.REFUSED, named=True)
    if plan.kind == OrganizationKind.PERSONAL:
        for rows in _pages(job, last, ""):
            made_here = Organization.objects.in_bulk([row.organization for row in rows])
            join(made_here, rows, origin, MemberRole.OWNER)
    outcomes[CHANGE] += made
    for row in late:
        if row.outcome != OPT_OUT:
            outcomes[row.outcome] += 1
    for rows in _pages(job, last, OPT_OUT):
        outcomes += _opt_out(job, plan, origin, rows)
    return +outcomes  # without zeros


def _mark_erased(job: BulkJob, last: int) -> None:
    """Mark rows whose external id meant another organization, and was erased since the file was read."""
    if Binding.objects.of_organizations().filter(hash__gt="").exists():
        rows = job.import_rows.filter(number__gt=job.cursor, number__lte=last, outcome="")
        erased = erased_ids(set(rows.values_list("external_id", flat=True)))
        rows.filter(external_id__in=erased).update(outcome=EXISTS)


def _opt_out(job: BulkJob, plan: ImportPlan, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Counter[str]:
    """Opt out known organizations that are opted out in the file, for each product of the plans."""
    changed: set[int] = set()
    for each in plan.plan_rows():
        for row in rows:
            row.product, row.choice = each.product, Choice.OPTED_OUT
        verdicts = opt(Gate.of(job), origin, rows)
        changed |= {number for number, verdict in verdicts.items() if verdict.outcome == CHANGE}
    return Counter({CHANGE: len(changed), SAME: len(rows) - len(changed)})
