"""Organizations from a file: `read` finds every bad row without touching the database, `apply` writes all or nothing.

Of two rows for one external id the first counts. Identical ones are skipped; where they differ the later one is bad,
and where they differ in the choice both are, for nobody can tell which of the two was meant.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from django.db import transaction

from accounts.access import Actor
from accounts.models import Organization, Plan, Subscription

from ..models import PrivacySetting, Source
from ..rules import Choice
from ..services import choices, organizations
from ..services.errors import Invalid
from ..services.organizations import OrganizationDraft
from ..surfaces import organization_surface
from .csv_files import CsvFile, Record

FIELDS = ("name", "external_id", "country", "choice", "owner_email")
REQUIRED = ("name", "external_id")
_CHUNK = 1000


class OptInRefused(Exception):
    """A file can't opt anybody in without a second operator's approval (R13)."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} opts in")
        self.row = row


@dataclasses.dataclass(frozen=True)
class ImportPlan:
    """Which column holds which of FIELDS, and what holds for every row."""

    columns: Mapping[str, str]
    plans: Sequence[Plan]
    kind: str = Organization.Kind.TEAM
    default_choice: str = ""


@dataclasses.dataclass(frozen=True)
class Problem:
    row: int
    column: str
    message: str

    def __str__(self) -> str:
        return (
            f"row {self.row}, column {self.column}: {self.message}"
            if self.column
            else f"row {self.row}: {self.message}"
        )


@dataclasses.dataclass(frozen=True)
class Row:
    number: int
    values: dict[str, str]
    draft: OrganizationDraft

    @property
    def external_id(self) -> str:
        return str(self.draft.external_id)


@dataclasses.dataclass
class Parsed:
    rows: dict[str, Row] = dataclasses.field(default_factory=dict)  # by external id
    problems: list[Problem] = dataclasses.field(default_factory=list)
    duplicates: int = 0
    disputed: set[str] = dataclasses.field(default_factory=set)

    @property
    def good(self) -> list[Row]:
        return [row for external_id, row in self.rows.items() if external_id not in self.disputed]


def read(file: CsvFile, plan: ImportPlan) -> Parsed:
    """Every row, good or bad. Raises BadFile, and OptInRefused for the first row that opts in."""
    file.require(*plan.columns.values())
    parsed = Parsed()
    for record in file:
        if record.problem:
            parsed.problems.append(Problem(record.row, "", record.problem))
            continue
        try:
            row = _row(record, plan)
        except Invalid as error:
            column = plan.columns.get(error.field, "")
            parsed.problems.append(Problem(record.row, column, _say(record.values.get(column, ""), str(error))))
        else:
            _add(parsed, row, plan)
    parsed.problems.sort(key=lambda problem: problem.row)
    return parsed


def _row(record: Record, plan: ImportPlan) -> Row:
    values = {field: record.values[column] for field, column in plan.columns.items()}
    values["name"] = " ".join(values["name"].split())
    values["choice"] = _choice(record.row, values.get("choice", plan.default_choice))
    if not values["external_id"]:
        raise Invalid("required", "Every organization needs its external id.", "external_id")
    draft = OrganizationDraft(
        name=values["name"],
        kind=plan.kind,
        external_id=values["external_id"],
        country=values.get("country", ""),
        owner=(values["owner_email"], values["name"]) if "owner_email" in values else None,
        subscriptions=plan.plans,
        choices={each.product: values["choice"] for each in plan.plans} if values["choice"] else {},
    )
    try:
        draft = organizations.clean_draft(draft)
    except Invalid as error:
        field = "owner_email" if error.field == "email" else error.field
        raise Invalid(error.code, error.detail, field) from error
    return Row(record.row, values | {"country": draft.country}, draft)


def _choice(row: int, text: str) -> str:
    choice = text.strip().lower().replace("-", "_").replace(" ", "_")
    if choice == Choice.OPTED_IN:
        raise OptInRefused(row)
    if choice not in ("", Choice.OPTED_OUT):
        raise Invalid("unknown_choice", "Write opted_out, or leave it empty where nobody has chosen.", "choice")
    return choice


def _say(value: str, message: str) -> str:
    if not value:
        return f"It is empty. {message}"
    return message if value in message else f"“{value[:80]}{'…' if len(value) > 80 else ''}”: {message}"


def _add(parsed: Parsed, row: Row, plan: ImportPlan) -> None:
    first = parsed.rows.setdefault(row.external_id, row)
    if first is row:
        return
    differing = [field for field, value in row.values.items() if first.values[field] != value]
    if not differing:
        parsed.duplicates += 1
        return
    column = plan.columns["external_id"]
    names = ", ".join(plan.columns.get(field, field) for field in differing)
    message = f"“{row.external_id}” stands in row {first.number} already, with another {names}. Keep one of the two."
    parsed.problems.append(Problem(row.number, column, message))
    if "choice" in differing and row.external_id not in parsed.disputed:
        parsed.disputed.add(row.external_id)
        message = f"“{row.external_id}” stands in row {row.number} again, with another choice. Keep one of the two."
        parsed.problems.append(Problem(first.number, column, message))


@dataclasses.dataclass
class Outcome:
    """`opted_out` and `unchanged` count organizations that were there before; so do the lines of `differing`."""

    created: int = 0
    opted_out: int = 0
    unchanged: int = 0
    differing: list[str] = dataclasses.field(default_factory=list)


@transaction.atomic
def apply(
    parsed: Parsed,
    plan: ImportPlan,
    *,
    actor: Actor,
    dry_run: bool = False,
    on_chunk: Callable[[int], None] | None = None,
) -> Outcome:
    """Create what is new and opt out what is known and says so, in one transaction; `on_chunk` gets the rows done.

    Raises Forbidden and ServiceErrors, having written nothing.
    """
    outcome, rows = Outcome(), parsed.good
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        external_ids = [row.external_id for row in chunk]
        known = {each.external_id: each for each in Organization.objects.filter(external_id__in=external_ids)}
        new = [row.draft for row in chunk if row.external_id not in known]
        if new and not dry_run:
            organizations.create_organizations(new, actor=actor, source=Source.IMPORT)
        outcome.created += len(new)
        pairs = [(known[row.external_id], row) for row in chunk if row.external_id in known]
        _apply_to_known(pairs, plan, actor, outcome, dry_run=dry_run)
        if on_chunk:
            on_chunk(start + len(chunk))
    return outcome


def _apply_to_known(
    pairs: Sequence[tuple[Organization, Row]], plan: ImportPlan, actor: Actor, outcome: Outcome, *, dry_run: bool
) -> None:
    """Of what the file says of organizations that are there, only opt-outs apply (R5); the rest is reported."""
    opted_out = _opt_out(pairs, plan, actor, dry_run=dry_run)
    plans = _plans_held([organization for organization, _row in pairs])
    for organization, row in pairs:
        differences = _differences(organization, row, plans)
        if differences:
            column = plan.columns["external_id"]
            text = f"row {row.number}, column {column}: “{row.external_id}” is here with "
            outcome.differing.append(text + "; ".join(differences))
        if organization.pk in opted_out:
            outcome.opted_out += 1
        elif not differences:
            outcome.unchanged += 1


def _opt_out(
    pairs: Sequence[tuple[Organization, Row]], plan: ImportPlan, actor: Actor, *, dry_run: bool
) -> set[object]:
    """Ids of those that were not out yet for some product of the plans."""
    wanted = [organization for organization, row in pairs if row.values["choice"]]
    changed: set[object] = set()
    for product in sorted({each.product for each in plan.plans}) if wanted else ():
        out = PrivacySetting.objects.of_organizations().filter(
            organization__in=wanted, product=product, choice=Choice.OPTED_OUT
        )
        done = set(out.values_list("organization_id", flat=True))
        missing = [organization for organization in wanted if organization.pk not in done]
        changed |= {organization.pk for organization in missing}
        if missing and not dry_run:
            choices.opt_out_organizations(
                surface=organization_surface(product), organizations=missing, actor=actor, source=Source.IMPORT
            )
    return changed


def _plans_held(known: Sequence[Organization]) -> dict[tuple[object, str], str]:
    live = Subscription.objects.filter(organization__in=known, ended_at=None)
    return {(each.organization_id, each.product): each.plan_id for each in live}


def _differences(organization: Organization, row: Row, plans: Mapping[tuple[object, str], str]) -> list[str]:
    """What the file says otherwise; an empty country says nothing."""
    draft = row.draft
    pairs = [("name", organization.name, draft.name), ("kind", organization.kind, draft.kind)]
    if draft.country:
        pairs.append(("country", organization.country, draft.country))
    pairs += [
        (f"plan for {plan.product}", plans.get((organization.pk, plan.product), ""), plan.key)
        for plan in draft.subscriptions
    ]
    return [f"{what} “{here}”, not “{there}”" for what, here, there in pairs if here != there]
