"""A record of the file as a row to be kept, or what is wrong with it. Looks at nothing but the record."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from accounts.access import split_ident
from accounts.catalogue import Product
from accounts.characters import storable
from accounts.external_ids import folded
from accounts.fields import new_id, parse_id, squeezed, to_micros
from accounts.models import MemberRole, MemberStatus, OrganizationKind, OrganizationStatus, Plan

from ...import_models import ImportTable
from ...rules import Choice
from ...services import external_ids, layers, members, organizations
from ...services.errors import Invalid
from ..csv_files import Record
from .fields import ImportPlan

_SHOWN = 80
_CHOICES = {
    "": "", "default": "", "opted_out": Choice.OPTED_OUT.value, "opted_in": Choice.OPTED_IN.value
}  # fmt: skip


_FLAGS = {"": False, "false": False, "no": False, "0": False, "true": True, "yes": True, "1": True}


class Row(NamedTuple):
    """The columns of an ImportRow that come from the file, and before them what is looked at and not kept.

    `ident` and `member_ident` are still to be looked up, and the external ids beside them. `past`: the field that says
    that this is over (since `ended`, microseconds); `held`: those that say what keeps an organization out besides its
    choice.
    """

    line: int
    ident: str = ""
    member_ident: str = ""
    external_ident: str = ""
    member_external_ident: str = ""
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


KEPT = Row._fields[Row._fields.index("organization") :]  # besides the line


class Problem(NamedTuple):
    """The columns of an ImportProblem."""

    line: int
    column: str
    value: str
    remedy: str
    kind: str = "bad"


Values = Mapping[str, str]


def shown(value: str) -> str:
    """As much of a value as a problem keeps of it."""
    return storable(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")


class Parser:
    """Reads records by an import's plan."""

    def __init__(self, plan: ImportPlan, now: dt.datetime) -> None:
        self._plan, self.now, self._now = plan, now, to_micros(now)
        self._columns = tuple(plan.columns.items())
        self._kinds: dict[str, Callable[[int, Values], Row]] = {
            ImportTable.ORGANIZATIONS: self._organization,
            ImportTable.MEMBERS: self._member,
            ImportTable.SUBSCRIPTIONS: self._subscription,
            ImportTable.CHOICES: self._choice_row,
        }
        self._parse = self._kinds[plan.table]
        self._known_plans = dict(Plan.objects.values_list("key", "product"))

    def parse(self, record: Record) -> Row | Problem:
        if record.problem:
            return Problem(record.row, "", "", record.problem[:500])
        found = record.values
        for column, remedy in record.faults.items():
            if column in self._plan.columns.values():
                return Problem(record.row, column, shown(found[column]), remedy)
        try:
            return self._parse(record.row, {field: found[column] for field, column in self._columns})
        except Invalid as error:
            column = self.column(error.field)
            value = found.get(column, "")
            return Problem(record.row, column, shown(value), self._remedy(error, value))

    def column(self, field: str) -> str:
        """The column that holds a field."""
        return self._plan.columns.get(field) or self._plan.columns.get(f"{field}_external_id", "")

    @staticmethod
    def _remedy(error: Invalid, value: str) -> str:
        text = str(error.detail)
        return (text if value else f"It is empty. {text}")[:500]

    # --- Tables ---

    def _organization(self, line: int, values: Values) -> Row:
        external_id, ident = self._external_id(values["external_id"]), ""
        if not external_id:
            ident = str(parse_id(values.get("id", "")) or "")
            if not ident:
                raise Invalid("required", "Every organization needs its external id.", "external_id")
        email = ""
        if self._plan.kind == OrganizationKind.PERSONAL:
            email = self._email(values["owner_email"], "owner_email")
        return Row(
            line,
            ident=ident,
            organization=new_id(),
            external_id=external_id,
            folded=folded(external_id),
            kind=self._one_of(values, "kind", OrganizationKind.values),
            status=self._one_of(values, "status", OrganizationStatus.values),
            name=organizations.clean_name(squeezed(values["name"])),
            country=organizations.clean_country(values.get("country", "")),
            email=email,
            choice=self._choice(values.get("choice", self._plan.default_choice)),
            since=self._since(values),
        )

    def _member(self, line: int, values: Values) -> Row:
        left = self._one_of(values, "status", MemberStatus.values) == MemberStatus.LEFT
        ended = self._past(values, "left_at")
        if ended is not None and values.get("status") and not left:
            raise Invalid("invalid", "It is active, and has left: say which.", "left_at")
        return Row(
            line,
            ident=self._ident(values, "organization"),
            external_ident=self._beside(values, "organization"),
            past="status" if left else "left_at" if ended is not None else self._closed(values),
            ended=ended,
            email=self._email(values["email"], "email"),
            name=layers.clean_name(squeezed(values.get("name", ""))),
            role=members.clean_role(values.get("role", "").lower() or MemberRole.MEMBER).value,
            external_id=self._external_id(values.get("external_id", "")),
            since=self._since(values),
        )

    def _subscription(self, line: int, values: Values) -> Row:
        key = values["plan"]
        if key not in self._known_plans:
            known = ", ".join(self._known_plans)
            raise Invalid("unknown_plan", f"There is no such plan. The plans: {known}.", "plan")
        product = self._known_plans[key]
        if values.get("product", product).lower() not in ("", product):
            raise Invalid("product", f"The plan {key} is one of {product}. Mend the plan or the product.", "product")
        ended = self._past(values, "ended_at")
        return Row(
            line,
            ident=self._ident(values, "organization"),
            external_ident=self._beside(values, "organization"),
            past="ended_at" if ended is not None else self._closed(values),
            ended=ended,
            plan=key,
            product=product,
            since=self._since(values),
        )

    def _choice_row(self, line: int, values: Values) -> Row:
        product = values["product"].lower()
        if product not in Product.values:
            known = ", ".join(Product.values)
            raise Invalid("unknown_product", f"There is no such product. The products: {known}.", "product")
        member = self._ident(values, "member", required=False)
        choice = self._choice(values["choice"])
        if member and product != Product.LE_CHAT:
            raise Invalid("product", "Members choose for le_chat only. Remove the row, or its member.", "product")
        held = self._held(values)
        if member and held:
            raise Invalid("member", "This is said of an organization, not of a member. Remove one of the two.", held[0])
        since = self._since(values)
        if member and since:
            since = None  # an opt-out reaches back for good
        return Row(
            line,
            ident=self._ident(values, "organization"),
            member_ident=member,
            external_ident=self._beside(values, "organization"),
            member_external_ident=self._beside(values, "member"),
            held=held,
            product=product,
            choice=choice,
            since=since,
        )

    # --- Values ---

    def _ident(self, values: Values, field: str, *, required: bool = True) -> str:
        ident = values.get(field, "")
        if not ident and (external := values.get(f"{field}_external_id", "")):
            ident = f"external:{external}"
        if not ident and required:
            raise Invalid("required", "Say whose row it is.", field)
        if ident and split_ident(ident) == (None, None):
            raise Invalid("invalid", "This is no id. Write an id, or external: and the external id.", field)
        external_id = split_ident(ident)[1]
        return f"external:{external_id}" if external_id else ident.lower()

    def _beside(self, values: Values, field: str) -> str:
        """The external id that is given beside an id: it counts where the id is another installation's."""
        external_id = values.get(f"{field}_external_id", "") if values.get(field) else ""
        return self._ident({field: f"external:{external_id}"}, f"{field}") if external_id else ""

    @staticmethod
    def _external_id(text: str) -> str:
        return external_ids.clean_external_id(text) or ""

    @staticmethod
    def _email(text: str, field: str) -> str:
        try:
            return members.clean_email(text)
        except Invalid as error:
            raise Invalid(error.code, error.detail, field) from error

    @staticmethod
    def _choice(text: str) -> str:
        choice = _CHOICES.get(text.lower().replace("-", "_").replace(" ", "_"))
        if choice is None:
            text = "Write opted_out or opted_in, or leave it empty where nobody has chosen."
            raise Invalid("unknown_choice", text, "choice")
        return choice

    @staticmethod
    def _one_of(values: Values, field: str, known: Sequence[str]) -> str:
        text = values.get(field, "").lower()
        if text and text not in known:
            raise Invalid(f"unknown_{field}", f"Write {' or '.join(known)}, or leave the column out.", field)
        return text

    def _closed(self, values: Values) -> str:
        """The field that says that the organization is closed, '' where none does."""
        status = self._one_of(values, "organization_status", OrganizationStatus.values)
        return "organization_status" if status == OrganizationStatus.CLOSED else ""

    def _held(self, values: Values) -> tuple[str, ...]:
        """The fields that say what keeps the organization out besides its choice."""
        found = []
        for field in ("closed", "locked"):
            text = values.get(field, "").lower()
            if text not in _FLAGS:
                raise Invalid("invalid", "Write true or false.", field)
            if _FLAGS[text]:
                found.append(field)
        return (*found, "carried_over_from") if values.get("carried_over_from") else tuple(found)

    def _since(self, values: Values) -> int | None:
        return self._past(values, "since")

    def _past(self, values: Values, field: str) -> int | None:
        text = values.get(field, "")
        if not text:
            return None
        try:
            instant = dt.datetime.fromisoformat(text)
            micros = to_micros(instant)
        except (ValueError, OverflowError):
            remedy = "Write an instant with its time zone, like 2025-03-01T00:00:00Z."
            raise Invalid("invalid", remedy, field) from None
        if micros >= self._now:
            raise Invalid("future", "It lies in the future. Write an instant that has passed.", field)
        return micros
