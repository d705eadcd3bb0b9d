"""Which organizations a bulk change is about: selections, in one form for commands, API and screens, and lists."""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from accounts.fields import external_ident, parse_id, split_ident
from accounts.models import Binding, Organization, OrganizationKind, OrganizationStatus, Plan
from config.batched import batched

from ..errors import Invalid
from ..files.exports import TABLES
from ..files.subject_columns import refuse_unread_subject
from ..files.tables import FileRow, MissingColumn, Reading, open_table
from ..models import Choice, PrivacySetting, ReasonCode

_PAGE = 1000
_EXTERNAL_ID = "external_id"
_IDENT_COLUMNS = ("organization", _EXTERNAL_ID)
_CHOICE_COLUMN = "choice"
_PRODUCT_COLUMN = "product"
_MEMBER_COLUMNS = ("member", "member_external_id")
# Other columns of the portal's own exports: known, so they don't count as unread subjects.
_OURS = (*TABLES["organizations"][1], *TABLES["choices"][1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Organizations that match all given parts, each by any of its values. Without any part `everything` is needed."""

    everything: bool = False
    plan: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    country: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    choice: tuple[str, ...] = ()
    reason: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    created_from: str = ""  # instants with a time zone; from inclusive, until exclusive
    created_until: str = ""

    @classmethod
    def from_json(cls, data: object) -> Self:
        """From a request, or a stored job. Raises Invalid, naming the part at fault."""
        if not isinstance(data, Mapping):
            raise Invalid("invalid", _("The selection has to be an object."), "select")
        names = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - names):
            raise Invalid(
                "unknown_field", _("There is no selection criterion “%s”.") % unknown[0], f"select/{unknown[0]}"
            )
        return cls(**{name: _clean(name, value) for name, value in data.items()}).checked()

    def to_json(self) -> dict[str, Any]:
        """Only the parts that are given."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}

    def checked(self) -> Self:
        known = {
            "plan": set(Plan.objects.values_list("key", flat=True)),
            "kind": set(OrganizationKind.values),
            "status": set(OrganizationStatus.values),
            "choice": set(Choice.values),
            "reason": set(ReasonCode.values),
        }
        for part, values in known.items():
            for value in getattr(self, part):
                if value not in values:
                    text = _("“%(value)s” is not a %(part)s. There are: %(known)s.")
                    words = {"value": value, "part": part, "known": ", ".join(sorted(values))}
                    raise Invalid("unknown_value", text % words, f"select/{part}")
        if not self.to_json():
            raise Invalid(
                "required", _("Give at least one selection criterion, or “everything” for all organizations."), "select"
            )
        if self.everything and len(self.to_json()) > 1:
            raise Invalid("invalid", _("“everything” can't be combined with other criteria."), "select")
        return self

    def organizations_for(self, product: str) -> QuerySet[Organization]:
        """The organizations, in order of id."""
        return self.narrow(Organization.objects.order_by("pk"), product)

    def narrow(self, chosen: QuerySet[Organization], product: str | None) -> QuerySet[Organization]:
        """Those of `chosen` that match; plan, choice and reason are those for `product`."""
        setting = PrivacySetting.objects.filter(organization=OuterRef("pk"), member=None, product=product)
        if self.plan:
            chosen = chosen.filter(Exists(setting.filter(subscribed=True, plan__in=self.plan)))
        # An organization without a setting has made no choice, and has no subscription.
        if self.choice:
            rows = Exists(setting.filter(choice__in=self.choice))
            chosen = chosen.filter(rows | ~Exists(setting) if Choice.DEFAULT in self.choice else rows)
        if self.reason:
            rows = Exists(setting.filter(reason_code__in=self.reason))
            chosen = chosen.filter(rows | ~Exists(setting) if ReasonCode.NO_SUBSCRIPTION in self.reason else rows)
        for part in ("kind", "country", "status"):
            if values := getattr(self, part):
                chosen = chosen.filter(**{f"{part}__in": values})
        if self.organizations:
            chosen = chosen.filter(_named(self.organizations))
        if self.created_from:
            chosen = chosen.filter(created_at__gte=_instant(self.created_from, "created_from"))
        if self.created_until:
            chosen = chosen.filter(created_at__lt=_instant(self.created_until, "created_until"))
        return chosen


def _named(idents: tuple[str, ...]) -> Q:
    ids = [pk for ident in idents if (pk := parse_id(ident))]
    external = {value for ident in idents if (value := split_ident(ident)[1])}
    named = Binding.objects.live().of_organizations().filter(value__in=external)
    return Q(pk__in=ids) | Q(pk__in=named.values("organization"))


def _clean(name: str, value: object) -> Any:
    where = f"select/{name}"
    if name == "everything":
        if value is not True:
            raise Invalid("invalid", _("Give true, or leave this out."), where)
        return True
    if name in ("created_from", "created_until"):
        _instant(value, name)
        return value
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(each, str) and each for each in values) or not values:
        raise Invalid("invalid", _("Give one text, or a list of them."), where)
    return tuple(each.upper() if name == "country" else each for each in values)


def _instant(value: object, name: str) -> dt.datetime:
    where = f"select/{name}"
    if not isinstance(value, str):
        raise Invalid("invalid", _("Give an instant with its time zone, like 2026-11-20T09:30:00Z."), where)
    try:
        instant = dt.datetime.fromisoformat(value)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise Invalid("invalid", _("“%s” is not an instant with a time zone.") % value[:80], where)
    return instant


# --- Lists of ids -------------------------------------------------------------------------------------------------


def unknown_idents(idents: Iterable[str]) -> Iterator[str]:
    """The ids that no organization has."""
    for page in batched(idents, _PAGE):
        found = _find(page)
        yield from (ident for ident in page if ident not in found)


class ListedChoice(NamedTuple):
    """A row of a list: an organization, by id or external:ID, and its choice; '' if the job has one choice for all."""

    line: int
    ident: str
    choice: str


class ListError(NamedTuple):
    """An invalid row: what is wrong with it, and what to do about it."""

    line: int
    text: str


class ListFile:
    """A file with a column `organization` or `external_id`, or with a single column; optionally also with `choice`.

    It is read as a stream. `left_out`: how many rows the last preview left out because they were not selected.
    Raises BadFile, also if the name of an unread column says that it holds the rows' subjects; MissingColumn if no
    column has ids.
    """

    left_out = 0

    def __init__(self, path: str, how: Reading = Reading()) -> None:  # noqa: B008  it is never changed
        self.table = open_table(path, how, wanted=(*_IDENT_COLUMNS, _CHOICE_COLUMN))
        columns = self.table.columns
        self._column = next((name for name in _IDENT_COLUMNS if name in columns), columns[0])
        if self._column not in _IDENT_COLUMNS and (len(columns) > 1 or self._column == _CHOICE_COLUMN):
            raise MissingColumn(
                f"There is neither a column organization nor external_id. The columns are: {', '.join(columns)}."
            )
        # A list of ids without a header: its first id would be taken as the column's name, and skipped.
        if self._column not in _IDENT_COLUMNS and split_ident(self._column) != (None, None):
            raise MissingColumn(
                f"The first line, “{self._column}”, is an id; it has to name the column: organization or external_id."
            )
        refuse_unread_subject(columns, (self._column, _CHOICE_COLUMN, _PRODUCT_COLUMN, *_MEMBER_COLUMNS), _OURS)
        self.has_choices = _CHOICE_COLUMN in columns

    def wishes(self, product: str) -> Iterator[ListedChoice | ListError]:
        """The rows, one by one; `choice` is '' if the file has no such column.

        A row about a member, or about another product, is a fault: an export of choices contains such rows.
        """
        for record in self.table:
            yield self._elsewhere(record, product) or self._wish(record)

    def _elsewhere(self, record: FileRow, product: str) -> ListError | None:
        for column in _MEMBER_COLUMNS:
            if record.values.get(column):
                return self._fault(
                    record, column, _("This is a member's own choice. Use import_choices for such rows.")
                )
        told = record.values.get(_PRODUCT_COLUMN, "").lower()
        if told not in ("", product):
            what = _("The product here is %(product)s, not “%(told)s”. Remove the row.")
            return self._fault(record, _PRODUCT_COLUMN, what % {"told": told[:80], "product": product})
        return None

    def _wish(self, record: FileRow) -> ListedChoice | ListError:
        ident, choice = record.values.get(self._column, ""), ""
        unread = record.problem_with(self._column, _CHOICE_COLUMN, *_MEMBER_COLUMNS, _PRODUCT_COLUMN)
        if not ident or unread:
            what = unread or _("is empty")
            return self._fault(record, self._column, _("%(what)s. Mend or remove it.") % {"what": what})
        if self.has_choices:
            text = record.values[_CHOICE_COLUMN]
            # People write “Opted out” or “opted-out”.
            choice = text.lower().replace("-", "_").replace(" ", "_")
            if choice not in (Choice.OPTED_IN, Choice.OPTED_OUT):
                what = _("“%(text)s” is not a choice. Write opted_out or opted_in.") % {"text": text[:80]}
                return self._fault(record, _CHOICE_COLUMN, what)
        return ListedChoice(record.row, external_ident(ident) if self._column == _EXTERNAL_ID else ident, choice)

    @staticmethod
    def _fault(record: FileRow, column: str, what: str) -> ListError:
        words = {"row": record.row, "column": column, "what": what}
        return ListError(record.row, _("row %(row)s, column %(column)s: %(what)s") % words)


def _find(idents: list[str]) -> dict[str, uuid.UUID]:
    """ident → id of the organization that has it."""
    split = {ident: split_ident(ident) for ident in idents}
    pks = [pk for pk, _external_id in split.values() if pk]
    external_ids = {external_id for _pk, external_id in split.values() if external_id}
    of_pk = set(Organization.objects.filter(pk__in=pks).values_list("pk", flat=True)) if pks else set()
    of_external_id = Binding.objects.organizations_named(external_ids)
    found = {}
    for ident, (pk, external_id) in split.items():
        if organization := pk if pk in of_pk else of_external_id.get(external_id or ""):
            found[ident] = organization
    return found
