"""Turns a record of the file into a row, and finds all that is wrong with it by the record alone."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from accounts.catalogue import Product
from accounts.characters import storable
from accounts.external_ids import folded
from accounts.fields import external_ident, new_id, parse_id, split_ident, squeezed, to_micros
from accounts.models import MemberRole, MemberStatus, OrganizationKind, OrganizationStatus, Plan

from ..errors import Invalid
from ..files.tables import FileRow
from ..models import ImportRow, ImportTable
from ..rules import Choice
from ..services import external_ids, layers, members, organizations
from .fields import ImportPlan

_SHOWN = 80
_CHOICES = {
    "": "", "default": "", "opted_out": Choice.OPTED_OUT.value, "opted_in": Choice.OPTED_IN.value
}  # fmt: skip


_FLAGS = {"": False, "false": False, "no": False, "0": False, "true": True, "yes": True, "1": True}


class Row(NamedTuple):
    """The columns of an ImportRow that come from the file; before them, what is only used to check the row.

    `ident`, `member_ident` and the external ids beside them are still to be looked up. `past`: the field which says
    that the row is about something that is over (since `ended`, in microseconds). `held`: the fields which say that an
    organization is kept out by something other than its choice. `unread`: the fields that could not be read, which are
    empty here.
    """

    line: int
    ident: str = ""
    member_ident: str = ""
    external_ident: str = ""
    member_external_ident: str = ""
    unread: tuple[str, ...] = ()
    past: str = ""
    ended: int | None = None
    held: tuple[str, ...] = ()
    organization: uuid.UUID | None = None
    member: uuid.UUID | None = None
    external_id: str = ""
    folded: str = ""
    kind: str = ""
    status: str = ""
    name: str = ""
    country: str = ""
    email: str = ""
    role: str = ""
    product: str = ""
    plan: str = ""
    choice: str = ""
    since: int | None = None


KEPT = Row._fields[Row._fields.index("organization") :]  # the columns of an ImportRow, without the line


def as_read(row: ImportRow) -> Row:
    """A stored row as a Row; the fields that are not stored are empty."""
    kept = {name: getattr(row, name) for name in KEPT}
    return Row(row.line, **kept | {"since": None if row.since is None else to_micros(row.since)})


class RowError(NamedTuple):
    """The columns of an ImportProblem."""

    line: int
    column: str
    value: str
    remedy: str
    kind: str = "bad"


_T = TypeVar("_T")


def shown(value: str) -> str:
    """A value as it is stored with a problem: shortened."""
    return storable(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")


class Parser:
    """Turns records into rows, by the plan of an import."""

    def __init__(self, plan: ImportPlan, now: dt.datetime) -> None:
        self.plan, self.now = plan, now
        self._columns = tuple(plan.columns.items())
        self.plans = dict(Plan.objects.values_list("key", "product"))

    def parse(self, record: FileRow) -> tuple[Row | None, list[RowError]]:
        """The row, and what is wrong with it. The row is None if nothing of it can be read."""
        if record.problem:
            return None, [RowError(record.row, "", "", record.problem[:500])]
        values = _Values({field: record.values[column] for field, column in self._columns}, self.now)
        # Values of JSON Lines that are no text.
        for field, column in self._columns:
            if remedy := record.faults.get(column):
                values.refuse(field, remedy)
        row = _TABLES[self.plan.table](values, record.row, self.plan, self.plans)
        return row, [self._problem(record, field, remedy) for field, remedy in values.faults.items()]

    def _problem(self, record: FileRow, field: str, remedy: str) -> RowError:
        column = self.plan.column(field)
        value = record.values.get(column, "")
        return RowError(record.row, column, shown(value), storable(remedy if value else f"It is empty. {remedy}")[:500])


class _Values:
    """The values of a record, by field; `faults`: field → what to do, for values that are invalid."""

    def __init__(self, values: Mapping[str, str], now: dt.datetime) -> None:
        self._values, self._now = values, to_micros(now)
        self.faults: dict[str, str] = {}

    def __getitem__(self, field: str) -> str:
        """The value; '' if there is none, or if it is invalid."""
        return "" if field in self.faults else self._values.get(field, "")

    def has(self, field: str) -> bool:
        return field in self._values

    def refuse(self, field: str, remedy: object) -> None:
        self.faults.setdefault(field, str(remedy))

    def clean(self, field: str, clean: Callable[..., _T], *args: Any, empty: _T) -> _T:
        """The value as a service's `clean` returns it; `empty` if that raises Invalid, or there is a fault already."""
        if field in self.faults:
            return empty
        try:
            return clean(*args or (self[field],))
        except Invalid as error:
            self.refuse(field, error.detail)
            return empty

    def one_of(self, field: str, known: Mapping[str, _T], remedy: str, *, empty: _T) -> _T:
        text = self[field].lower()
        if field not in self.faults and text not in known:
            self.refuse(field, remedy)
        return known.get(text, empty)

    def external_id(self) -> str:
        return self.clean("external_id", external_ids.clean_external_id, empty=None) or ""

    def name(self, clean: Callable[[str], str]) -> str:
        return self.clean("name", clean, squeezed(self["name"]), empty="")

    def ident(self, field: str, *, required: bool = True) -> str:
        """An id, or else the external id as external:ID; '' with a fault if both are missing and it is required."""
        external = f"{field}_external_id"
        if self[field]:
            return self._spelled(field, self[field])
        if self[external]:
            return self._spelled(external, external_ident(self[external]))
        if required and not {field, external} & self.faults.keys():
            self.refuse(field, "Say whose row it is.")
        return ""

    def ident_beside(self, field: str) -> str:
        """The external id that is given beside an id; it counts if the id is from another installation."""
        external = f"{field}_external_id"
        return self._spelled(external, external_ident(self[external])) if self[field] and self[external] else ""

    def _spelled(self, field: str, text: str) -> str:
        pk, external_id = split_ident(text)
        if pk is None and external_id is None:
            unseen = _unseen_in(text)
            self.refuse(field, unseen or "This is no id. Write an id, or external: and the external id.")
            return ""
        return external_ident(external_id) if external_id else text.lower()

    def choice(self, default: str = "") -> str:
        text = self["choice"] if self.has("choice") else default
        choice = _CHOICES.get(text.lower().replace("-", "_").replace(" ", "_"))
        if choice is None:
            self.refuse("choice", "Write opted_out or opted_in, or leave it empty where nobody has chosen.")
        return choice or ""

    def status(self, field: str, known: Sequence[str]) -> str:
        remedy = f"Write {' or '.join(known)}, or leave the column out."
        return self.one_of(field, {"": "", **{each: each for each in known}}, remedy, empty="")

    def closed(self) -> str:
        """The field which says that the organization is closed; '' if none does."""
        status = self.status("organization_status", OrganizationStatus.values)
        return "organization_status" if status == OrganizationStatus.CLOSED else ""

    def held(self) -> tuple[str, ...]:
        """The fields which say that something other than its choice keeps the organization out."""
        flags = ("closed", "locked")
        found = tuple(each for each in flags if self.one_of(each, _FLAGS, "Write true or false.", empty=False))
        return (*found, "carried_over_from") if self["carried_over_from"] else found

    def instant(self, field: str) -> int | None:
        """An instant of the past, in microseconds; None if there is none, or if it is invalid."""
        if not (text := self[field]):
            return None
        try:
            micros = to_micros(dt.datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            self.refuse(field, "Write an instant with its time zone, like 2025-03-01T00:00:00Z.")
            return None
        if micros >= self._now:
            self.refuse(field, "It lies in the future. Write an instant that has passed.")
            return None
        return micros

    def unread(self) -> tuple[str, ...]:
        return tuple(self.faults)


def _unseen_in(text: str) -> str:
    """What to say of an id with invisible characters; '' if there is nothing wrong with it."""
    try:
        external_ids.clean_external_id(text.removeprefix("external:"))
    except Invalid as error:
        return str(error.detail)
    return ""


# --- Tables -----------------------------------------------------------------------------------------------------------


def _organization(values: _Values, line: int, plan: ImportPlan, _plans: Mapping[str, str]) -> Row:
    external_id, ident = values.external_id(), ""
    # Exports contain organizations without an external id; their id tells whether they are known here.
    if not external_id and "external_id" not in values.faults:
        ident = str(parse_id(values["id"]) or "")
        if not ident:
            values.refuse("external_id", "Every organization needs its external id.")
    kind = values.status("kind", OrganizationKind.values)
    personal = plan.kind == OrganizationKind.PERSONAL and kind != OrganizationKind.TEAM
    row = Row(
        line,
        ident=ident,
        # Its future id; replaced if the organization exists.
        organization=new_id(),
        external_id=external_id,
        folded=folded(external_id),
        kind=kind,
        status=values.status("status", OrganizationStatus.values),
        name=values.name(organizations.clean_name),
        country=values.clean("country", organizations.clean_country, empty=""),
        email=values.clean("owner_email", members.clean_email, empty="") if personal else "",
        choice=values.choice(plan.default_choice),
        since=values.instant("since"),
    )
    return row._replace(unread=values.unread())


def _member(values: _Values, line: int, _plan: ImportPlan, _plans: Mapping[str, str]) -> Row:
    left, ended = values.status("status", MemberStatus.values) == MemberStatus.LEFT, values.instant("left_at")
    if ended is not None and values["status"] and not left:
        values.refuse("left_at", "It is active, and has left: say which.")
    row = Row(
        line,
        ident=values.ident("organization"),
        external_ident=values.ident_beside("organization"),
        past="status" if left else "left_at" if ended is not None else values.closed(),
        ended=ended,
        email=values.clean("email", members.clean_email, empty=""),
        name=values.name(layers.clean_name),
        role=values.clean("role", members.clean_role, values["role"].lower() or MemberRole.MEMBER, empty="") or "",
        external_id=values.external_id(),
        since=values.instant("since"),
    )
    return row._replace(unread=values.unread())


def _subscription(values: _Values, line: int, _plan: ImportPlan, plans: Mapping[str, str]) -> Row:
    key = values["plan"]
    if "plan" not in values.faults and key not in plans:
        values.refuse("plan", f"There is no such plan. The plans: {', '.join(plans)}.")
    product = plans.get(key, "")
    if product and values["product"].lower() not in ("", product):
        values.refuse("product", f"The plan {key} is one of {product}. Mend the plan or the product.")
    ended = values.instant("ended_at")
    row = Row(
        line,
        ident=values.ident("organization"),
        external_ident=values.ident_beside("organization"),
        past="ended_at" if ended is not None else values.closed(),
        ended=ended,
        plan=key if product else "",
        product=product,
        since=values.instant("since"),
    )
    return row._replace(unread=values.unread())


def _choice(values: _Values, line: int, _plan: ImportPlan, _plans: Mapping[str, str]) -> Row:
    known = {each: each for each in Product.values}
    remedy = f"There is no such product. The products: {', '.join(known)}."
    product = values.one_of("product", known, remedy, empty="")
    member, held = values.ident("member", required=False), values.held()
    if member and product not in ("", Product.LE_CHAT):
        values.refuse("product", "Members choose for le_chat only. Remove the row, or its member.")
    if member and held:
        values.refuse(held[0], "This is said of an organization, not of a member. Remove one of the two.")
    since = values.instant("since")
    row = Row(
        line,
        ident=values.ident("organization"),
        member_ident=member,
        external_ident=values.ident_beside("organization"),
        member_external_ident=values.ident_beside("member"),
        held=held,
        product=product,
        choice=values.choice(),
        since=None if member else since,  # members can only be opted out here, which needs no start
    )
    return row._replace(unread=values.unread())


_TABLES: Mapping[str, Callable[[_Values, int, ImportPlan, Mapping[str, str]], Row]] = {
    ImportTable.ORGANIZATIONS: _organization,
    ImportTable.MEMBERS: _member,
    ImportTable.SUBSCRIPTIONS: _subscription,
    ImportTable.CHOICES: _choice,
}
