"""Rows for organizations that are there already: of what they say only an opt-out applies (R5); the rest is told."""

from collections.abc import Callable, Mapping, Sequence

from django.db.models import Exists, OuterRef, Q

from accounts.fields import squeezed
from accounts.models import Binding, Organization, OrganizationStatus, Plan

from ..models import BulkJob, ImportRow, PrivacySetting, ProblemKind
from ..rules import Choice
from .checking import settings_of
from .fields import ImportPlan
from .judging import BAD, DIFFERING, GIVEN_BEFORE, PAST, SAME
from .parsing import Problem, shown
from .staging import keep_problems

# Known, and not opted out yet for some product of the plans.
OPT_OUT = "opt_out"
_PAGE = 2_000


def settle_known(job: BulkJob, plan: ImportPlan, on_page: Callable[[], None]) -> None:
    """Find the rows whose external id is known, and say what each comes to; `on_page` is called after some of them."""
    plans = plan.plan_rows()
    given = Exists(Binding.objects.filter(member=None, value__gt="", value=OuterRef("external_id")))
    for condition in (Q(given), Q(external_id="")):
        rows, last = job.import_rows.filter(condition, outcome="").order_by("number"), 0
        while known := list(rows.filter(number__gt=last)[:_PAGE]):
            last = known[-1].number
            settle(job, plan, plans, known, ProblemKind.BAD)
            on_page()
    _settle_others(job, plan, on_page)


def _settle_others(job: BulkJob, plan: ImportPlan, on_page: Callable[[], None]) -> None:
    """Of those that are new none is created closed, or of another kind than the import's."""
    new = job.import_rows.filter(outcome="").order_by("number")
    while closed := list(new.filter(status=OrganizationStatus.CLOSED)[:_PAGE]):
        out = [row for row in closed if row.choice == Choice.OPTED_OUT]
        keep_problems(job, [_told(row, plan, "status", _NOBODY, ProblemKind.DIFFERING) for row in out])
        job.import_rows.filter(pk__in=[row.pk for row in closed]).update(outcome=PAST)
        on_page()
    remedy = f"This import creates those of the kind “{plan.kind}”. Import the others apart."
    while others := list(new.exclude(kind__in=("", plan.kind))[:_PAGE]):
        keep_problems(job, [_told(row, plan, "kind", remedy, ProblemKind.BAD) for row in others])
        job.import_rows.filter(pk__in=[row.pk for row in others]).update(outcome=BAD)
        on_page()


_NOBODY = "Not here, and closed by what the file says: nothing is created, and its opt-out is filed with nobody."


def _told(row: ImportRow, plan: ImportPlan, field: str, remedy: str, kind: ProblemKind) -> Problem:
    return Problem(row.line, plan.columns[field], getattr(row, field), remedy, kind.value)


def settle(
    job: BulkJob, plan: ImportPlan, plans: Sequence[Plan], rows: Sequence[ImportRow], missing: ProblemKind
) -> None:
    """Mark these rows by what they find, their organization's id in place of the new one, and tell the differences.

    `missing`: what a row is whose external id means nobody any more.
    """
    named = Binding.objects.organizations_named({row.external_id for row in rows})
    by_id = {row.organization for row in rows if not row.external_id}
    found = Organization.objects.in_bulk({*named.values(), *by_id})
    here = {value: found[pk] for value, pk in named.items()}
    settings = settings_of([(pk, "") for pk in found])
    problems = []
    for row in rows:
        organization = here.get(row.external_id) if row.external_id else found.get(row.organization)
        if organization is None:
            row.outcome = missing.value
            column = plan.columns["external_id"]
            problems.append(Problem(row.line, column, shown(row.external_id), GIVEN_BEFORE, missing.value))
            continue
        standing = {each: settings.get((organization.pk, each.product)) or PrivacySetting() for each in plans}
        differences = [*_details(organization, row, plan), *_standing(row, standing)]
        if differences:
            told = f"It is here with {'; '.join(differences)}. Left as it is."
            column = plan.columns["external_id"]
            problems.append(Problem(row.line, column, shown(row.external_id), told[:500], ProblemKind.DIFFERING))
        row.organization = organization.pk
        out = all(setting.choice == Choice.OPTED_OUT for setting in standing.values())
        if row.choice == Choice.OPTED_OUT and not out:
            row.outcome = OPT_OUT
        else:
            row.outcome = DIFFERING if differences else SAME
    ImportRow.objects.bulk_update(rows, ["organization", "outcome"], batch_size=500)
    keep_problems(job, problems)


def _details(organization: Organization, row: ImportRow, plan: ImportPlan) -> list[str]:
    """What the file says otherwise; an empty country says nothing."""
    pairs = [("name", squeezed(organization.name), row.name), ("kind", organization.kind, row.kind or plan.kind)]
    if row.country:
        pairs.append(("country", organization.country, row.country))
    if row.status:
        pairs.append(("status", organization.status, row.status))
    return [f"{what} “{here}”, not “{there}”" for what, here, there in pairs if here != there]


def _standing(row: ImportRow, standing: Mapping[Plan, PrivacySetting]) -> list[str]:
    told = []
    for plan, setting in standing.items():
        held = setting.plan if setting.subscribed else ""
        if held != plan.key:
            told.append(f"plan for {plan.product} “{held}”, not “{plan.key}”")
        if row.choice == Choice.OPTED_IN and setting.choice != Choice.OPTED_IN:
            told.append(f"no opt-in for {plan.product}")
        if row.since and setting.allowed and setting.since and row.since < setting.since:
            told.append(f"a later start for {plan.product}")
    return told
