"""Rows for organizations that are there already: of what they say only an opt-out applies (R5); the rest is told."""

from collections.abc import Callable, Mapping, Sequence

from django.db.models import Exists, OuterRef

from accounts.models import Binding, Organization, Plan

from ...import_models import ImportRow, ProblemKind
from ...job_models import BulkJob
from ...models import PrivacySetting
from ...rules import Choice
from .fields import ImportPlan
from .looking import DIFFERING, GIVEN_BEFORE, SAME, settings_of
from .parsing import Problem, shown
from .staging import keep_problems

# Known, and not opted out yet for some product of the plans.
OPT_OUT = "opt_out"
_PAGE = 2_000


def settle_known(job: BulkJob, plan: ImportPlan, on_page: Callable[[], None]) -> None:
    """Find the rows whose external id is known, and say what each comes to; `on_page` is called after some of them."""
    plans, last = plan.plan_rows(), 0
    given = Exists(Binding.objects.filter(member=None, value__gt="", value=OuterRef("external_id")))
    while True:
        known = list(job.import_rows.filter(given, outcome="", number__gt=last).order_by("number")[:_PAGE])
        if not known:
            return
        last = known[-1].number
        settle(job, plan, plans, known, ProblemKind.BAD)
        on_page()


def settle(
    job: BulkJob, plan: ImportPlan, plans: Sequence[Plan], rows: Sequence[ImportRow], missing: ProblemKind
) -> None:
    """Mark these rows by what they find, their organization's id in place of the new one, and tell the differences.

    `missing`: what a row is whose external id means nobody any more.
    """
    named = Binding.objects.organizations_named({row.external_id for row in rows})
    found = Organization.objects.in_bulk(set(named.values()))
    here = {value: found[pk] for value, pk in named.items()}
    settings = settings_of([(each.pk, "") for each in here.values()])
    problems = []
    for row in rows:
        organization = here.get(row.external_id)
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
    pairs = [("name", organization.name, row.name), ("kind", organization.kind, plan.kind)]
    if row.country:
        pairs.append(("country", organization.country, row.country))
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
