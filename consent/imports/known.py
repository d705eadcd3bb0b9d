"""Finds out, once all rows of organizations are stored, which organizations exist already, and judges those rows again.

While the file is read, its external ids are not looked up; here SQL does it for all rows at once.
"""

from collections.abc import Callable, Mapping, Sequence

from django.db.models import Exists, OuterRef, Q

from accounts.models import Binding, Organization, OrganizationStatus

from .. import ledger
from ..models import BulkJob, ImportRow, ImportTable, PrivacySetting, ProblemKind
from ..rules import State
from .checking import problems_of, settings_of
from .fields import ImportPlan
from .judging import KnownOrganization, Met, NewOnes, judge_row
from .parsing import RowError, as_read
from .staging import keep_problems

_PAGE = 2_000


def settle_known(job: BulkJob, plan: ImportPlan, on_page: Callable[[], None]) -> None:
    """Judge again the rows that may not just be created; `on_page` is called after each page of them.

    That is rows whose external id was given already, rows without one, and closed ones or ones of another kind.
    """
    new_ones = new_ones_of(plan)
    given = Exists(Binding.objects.filter(member=None, value__gt="", value=OuterRef("external_id")))
    not_as_it_is = Q(status=OrganizationStatus.CLOSED) | ~Q(kind__in=("", plan.kind))
    # Rows that got an outcome by one condition are left out by the next.
    for condition, named in ((Q(given), True), (Q(external_id=""), True), (not_as_it_is, False)):
        rows, last = job.import_rows.filter(condition, outcome="").order_by("number"), 0
        while page := list(rows.filter(number__gt=last)[:_PAGE]):
            last = page[-1].number
            settle(job, plan, new_ones, page, ProblemKind.BAD, named=named)
            on_page()


def new_ones_of(plan: ImportPlan) -> NewOnes:
    return NewOnes(plan.kind, {each.product: each.key for each in plan.plan_rows()})


def settle(
    job: BulkJob, plan: ImportPlan, new_ones: NewOnes, rows: Sequence[ImportRow], faults: ProblemKind, *, named: bool
) -> None:
    """Judge these rows again, and store their outcomes, the ids of existing organizations, and the problems.

    `faults`: the kind of problem, and the outcome, of rows that can't be applied. `named`: their ids mean or meant an
    organization; which one is looked up here.
    """
    here = Binding.objects.organizations_named({row.external_id for row in rows})
    meant = [here.get(row.external_id) if row.external_id else row.organization for row in rows]
    found = Organization.objects.in_bulk({pk for pk in meant if pk})
    settings = settings_of([(pk, "") for pk in found])
    now, problems = ledger.clock(), list[RowError]()
    for row, pk in zip(rows, meant, strict=True):
        known = None
        if pk is not None and pk in found:
            row.organization = pk
            states = {each: _state(settings.get((pk, each))) for each in new_ones.plans}
            known = _known(found[pk], states)
        met = Met(now=now, known=known, new_ones=new_ones, id_taken=named and known is None)
        verdict = judge_row(ImportTable.ORGANIZATIONS, as_read(row), met)
        problems += problems_of(row.line, verdict, plan, faults, ProblemKind.DIFFERING)
        row.outcome = faults.value if verdict.faults else verdict.outcome
    ImportRow.objects.bulk_update(rows, ["organization", "outcome"], batch_size=500)
    keep_problems(job, problems)


def _state(setting: PrivacySetting | None) -> State:
    return setting.state if setting else State()


def _known(organization: Organization, states: Mapping[str, State]) -> KnownOrganization:
    return KnownOrganization(organization.name, organization.kind, organization.country, organization.status, states)
