"""The fields of each table that can be imported, and the plan of an import: which column holds which field."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import OrganizationKind, Plan

from ..errors import Invalid
from ..files.exports import TABLES
from ..files.subject_columns import names_subject
from ..models import ImportTable
from ..rules import Choice


class Field(NamedTuple):
    """A field. `or_else`: the field that can replace this one if it is required.

    `standing`: it says that a row is about something that is over or kept out; a column with its name is always read,
    unless it is ignored on purpose.
    """

    name: str
    label: str | Promise
    help: str | Promise
    required: bool = False
    or_else: str = ""
    standing: bool = False


_SINCE = Field(
    "since",
    gettext_lazy("Since"),
    gettext_lazy(
        "A date and time with a time zone, since when this has been the case. It needs a reference and a second "
        "operator's approval. Without it, data collected before the import is never used."
    ),
)
_ORGANIZATION = (
    Field(
        "organization",
        gettext_lazy("Organization"),
        gettext_lazy("Its id here, or external:ID."),
        required=True,
        or_else="organization_external_id",
    ),
    Field("organization_external_id", gettext_lazy("Organization's external id"), gettext_lazy("The provider's own.")),
)
_OF_CLOSED = Field(
    "organization_status",
    gettext_lazy("Organization's status"),
    gettext_lazy("active or closed. Rows of closed organizations are not imported."),
    standing=True,
)
FIELDS: Mapping[str, Sequence[Field]] = {
    ImportTable.ORGANIZATIONS: (
        Field("name", gettext_lazy("Name"), gettext_lazy("Up to 200 characters."), required=True),
        Field(
            "external_id",
            gettext_lazy("External id"),
            gettext_lazy("The provider's own account id: a row whose id is known creates nothing."),
            required=True,
        ),
        Field("country", gettext_lazy("Country"), gettext_lazy("Two letters, like FR.")),
        Field("choice", gettext_lazy("Choice"), gettext_lazy("opted_out, opted_in, or empty if nobody has chosen.")),
        Field("owner_email", gettext_lazy("Owner's e-mail"), gettext_lazy("Of a personal organization.")),
        Field("id", gettext_lazy("Id here"), gettext_lazy("Its id here, where it has no external id.")),
        Field("kind", gettext_lazy("Kind of each"), gettext_lazy("team or personal, where the file has both.")),
        Field(
            "status",
            gettext_lazy("Status"),
            gettext_lazy("active or closed. Closed organizations are not created."),
            standing=True,
        ),
        _SINCE,
    ),
    ImportTable.MEMBERS: (
        *_ORGANIZATION,
        Field("email", gettext_lazy("E-mail"), gettext_lazy("The address that they sign in with."), required=True),
        Field("name", gettext_lazy("Name"), gettext_lazy("Used only for a new person.")),
        Field("role", gettext_lazy("Role"), gettext_lazy("owner, admin, member (where empty) or auditor.")),
        Field("external_id", gettext_lazy("External id"), gettext_lazy("The provider's own, in the organization.")),
        Field(
            "status",
            gettext_lazy("Status"),
            gettext_lazy("active or left. Persons who have left are not added."),
            standing=True,
        ),
        Field("left_at", gettext_lazy("Left"), gettext_lazy("When they left, if they have left."), standing=True),
        _OF_CLOSED,
        _SINCE,
    ),
    ImportTable.SUBSCRIPTIONS: (
        *_ORGANIZATION,
        Field("plan", gettext_lazy("Plan"), gettext_lazy("Its key, like le_chat_teams."), required=True),
        Field(
            "product", gettext_lazy("Product"), gettext_lazy("The product of the plan; it is compared with the plan.")
        ),
        Field(
            "ended_at",
            gettext_lazy("Ended"),
            gettext_lazy("When it ended. Subscriptions that have ended are not started."),
            standing=True,
        ),
        _OF_CLOSED,
        _SINCE,
    ),
    ImportTable.CHOICES: (
        *_ORGANIZATION,
        Field("member", gettext_lazy("Member"), gettext_lazy("Whose own choice it is: an id, or external:ID.")),
        Field("member_external_id", gettext_lazy("Member's external id"), gettext_lazy("The provider's own.")),
        Field("product", gettext_lazy("Product"), gettext_lazy("le_chat or ai_studio."), required=True),
        Field(
            "choice",
            gettext_lazy("Choice"),
            gettext_lazy("opted_out or opted_in; default means that nobody has chosen."),
            required=True,
        ),
        *(
            Field(
                name,
                label,
                gettext_lazy("If this applies in the file but not in this portal, the preview reports the row."),
                standing=True,
            )
            for name, label in (
                ("closed", gettext_lazy("Account closed")),
                ("locked", gettext_lazy("Locked")),
                ("carried_over_from", gettext_lazy("Carried over from")),
            )
        ),
        _SINCE,
    ),
}


_MEMBER = {"member", "member_external_id"}


@dataclasses.dataclass(frozen=True)
class ImportPlan:
    """Field → column that holds it; for new organizations also plans, kind and choice, which are the same for all."""

    table: str
    columns: Mapping[str, str]
    plans: tuple[str, ...] = ()
    kind: str = OrganizationKind.TEAM
    default_choice: str = ""
    allow_similar: bool = False  # accept ids that look like those of known organizations
    ignored: tuple[str, ...] = ()  # columns that are left out on purpose

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        # The selection of a job has other keys too: see `reading`. JSON has lists for tuples.
        names = {field.name for field in dataclasses.fields(cls)}
        several = {name: tuple(data.get(name, ())) for name in ("plans", "ignored")}
        return cls(**{name: value for name, value in data.items() if name in names} | several)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def checked(self) -> Self:
        """The plan itself, if it is valid. Raises Invalid, naming the field."""
        fields = FIELDS.get(self.table)
        if fields is None:
            raise Invalid("unknown_table", _("There is no table “%s” to import.") % self.table, "table")
        known = [field.name for field in fields]
        for name in self.columns:
            if name not in known:
                text = _("There is no field “%(name)s”; the fields are %(known)s.")
                raise Invalid("unknown_field", text % {"name": name, "known": ", ".join(known)}, "columns")
        for field in fields:
            if field.required and not {field.name, field.or_else} & set(self.columns):
                raise Invalid(
                    "required", _("Choose the column that contains the %s.") % field.name, f"columns/{field.name}"
                )
        if self.table == ImportTable.ORGANIZATIONS:
            self._check_organizations()
        elif self.plans or self.default_choice or self.allow_similar:
            raise Invalid(
                "invalid",
                _("Plans, a choice for all rows and similar ids can be given only for new organizations."),
                "plans",
            )
        return self

    def unread(self, columns: Sequence[str]) -> list[str]:
        """The file's columns that are neither read nor left out on purpose.

        Raises Invalid if one of them is named like the subject of a row: the rows would be stored for another subject.
        """
        left = [each for each in columns if each and each not in self.columns.values() and each not in self.ignored]
        if subjects := subjects_left(self.table, left, self.columns):
            text = _(
                "The column “%(column)s” says whom a row is about, but it is not read, so rows could be stored for "
                "the wrong person. Choose the field that it contains, or leave it out explicitly."
            )
            raise Invalid("unread_subject", text % {"column": subjects[0][:80]}, "ignored")
        return left

    def column(self, field: str) -> str:
        """The file's column that holds a field, or its external id; '' if there is none."""
        return self.columns.get(field) or self.columns.get(f"{field}_external_id", "")

    def has_owners(self) -> bool:
        """Whether there is a column for owners where one is needed, and none where not.

        A file of teams may have one if it also has a column `kind`, which says which rows are personal.
        """
        # Every personal organization needs an owner, so with that kind the column is required.
        given = "owner_email" in self.columns
        return given if self.kind == OrganizationKind.PERSONAL else not given or "kind" in self.columns

    def _check_organizations(self) -> None:
        if self.kind not in OrganizationKind.values:
            raise Invalid("unknown_kind", _("There is no kind “%s”.") % self.kind, "kind")
        if not self.has_owners():
            text = _("A column for owner_email is required for personal organizations, and not allowed for others.")
            raise Invalid("owner", text, "kind")
        if "choice" in self.columns and self.default_choice:
            raise Invalid(
                "invalid", _("Give either a column for the choice or one choice for all, not both."), "default_choice"
            )
        if self.default_choice not in ("", Choice.OPTED_OUT, Choice.OPTED_IN):
            raise Invalid("unknown_choice", _("Choose opted_out or opted_in."), "default_choice")
        if not self.plans:
            raise Invalid("required", _("Give the plans that they subscribe to."), "plans")
        products = [plan.product for plan in self.plan_rows()]
        if len(set(products)) != len(products):
            raise Invalid("plans", _("One plan per product."), "plans")

    def plan_rows(self) -> list[Plan]:
        """The plans, in the order given. Raises Invalid for an unknown one."""
        found = Plan.objects.in_bulk(self.plans)
        for key in self.plans:
            if key not in found:
                raise Invalid("unknown_plan", _("There is no plan “%s”.") % key, "plans")
        return [found[key] for key in self.plans]


def subjects_left(table: str, columns: Sequence[str], read: Mapping[str, str]) -> list[str]:
    """The columns that are named like the subject of a row and are not in `read` (field → column).

    Other columns of the portal's own exports don't count; but those for a member do, if no column for a member is read:
    without it, the row would be taken as the organization's.
    """
    known = set(TABLES[table][1])
    if read.keys().isdisjoint(_MEMBER):
        known -= _MEMBER
    left = [each for each in columns if each not in read.values() and _plain(each) not in known]
    return [each for each in left if names_subject(each)]


def standing_columns(table: str, columns: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Field → column, for `standing` fields whose columns are not in `given`.

    They must be read: without its end, for example, an ended subscription would start again.
    """
    taken = set(given.values())
    found = guess_columns(table, [column for column in columns if column not in taken])
    standing = {field.name for field in FIELDS[table] if field.standing}
    return {name: column for name, column in found.items() if name in standing and name not in given}


def _plain(column: str) -> str:
    return column.strip().lower().replace(" ", "_").replace("-", "_")


def guess_columns(table: str, columns: Sequence[str]) -> dict[str, str]:
    """Field → the column with its name, ignoring case and separators.

    `since` is never guessed: a start is attested only on purpose, and in many files that name means something else.
    """
    plain = {_plain(column): column for column in reversed(columns)}
    return {field.name: plain[field.name] for field in FIELDS[table] if field.name in plain and field is not _SINCE}
