"""Shared column types and helpers: ids, instants, enum constraints, e-mail addresses, encrypted text."""

import datetime as dt
import re
import uuid
from typing import Any, overload

import uuid_utils.compat
from django import forms
from django.core.exceptions import ValidationError
from django.db import connection, connections, models
from django.db.models.expressions import Combinable
from django.utils.translation import gettext_lazy as _

from . import email_addresses, external_ids, keys
from .characters import Unusable


def one_of(field: str, choices: type[models.TextChoices], name: str) -> models.CheckConstraint:
    """A CHECK constraint: the column holds one of `choices`, so that raw SQL can't store an unknown state either."""
    return models.CheckConstraint(condition=models.Q(**{f"{field}__in": choices.values}), name=name)


# Every character that starts a new line somewhere: in a file, a terminal, an e-mail header or a browser.
_LINE_BREAKS = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def line_break_in(text: str) -> str:
    """The first line break inside the text, written like `U+000A`; '' if none. Surrounding ones are ignored."""
    found = _LINE_BREAKS.search(text.strip())
    return f"U+{ord(found[0]):04X}" if found else ""


def one_line(text: str) -> None:
    """Raises ValidationError for a text of more than one line."""
    if code := line_break_in(text):
        raise ValidationError(_("Write this on one line, without line breaks (%(code)s).") % {"code": code})


def validate_address(text: str) -> None:
    """Raises ValidationError for what is no e-mail address; the message names an invisible character in it."""
    try:
        email_addresses.normalize(text)
    except Unusable as error:
        raise ValidationError(error.told or _("Write an e-mail address.")) from None


def squeezed(text: str) -> str:
    """The text with single spaces. A text with a line break stays unchanged, so that `one_line` can refuse it."""
    return text if line_break_in(text) else " ".join(text.split())


EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)


def new_id() -> uuid.UUID:
    """A UUIDv7: opaque, and ordered by creation time, so that new rows go to the end of the index."""
    return uuid_utils.compat.uuid7()


_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def parse_id(text: object) -> uuid.UUID | None:
    """The UUID in its canonical form with hyphens, else None: braces, URNs and bare hexadecimal are refused."""
    if isinstance(text, uuid.UUID):
        return text
    return uuid.UUID(text) if isinstance(text, str) and is_id(text) else None


def raw_id(pk: uuid.UUID) -> uuid.UUID | str:
    """The id as a parameter of raw SQL: SQLite stores ids as 32 hexadecimal digits, PostgreSQL as `uuid`."""
    return pk.hex if connection.vendor == "sqlite" else pk


def hex_id(text: str) -> str:
    """An id given as text, in the form SQLite stores; bulk work need not build a UUID object for each row."""
    return text.replace("-", "").lower()


def from_raw_id(value: uuid.UUID | str) -> uuid.UUID:
    """The inverse of `raw_id`, for ids that raw SQL returns."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)


def from_raw_flag(value: int | bool | None) -> bool:
    """A flag as a statement gives it. Who owns SQLite's file could store a 2, which its statements take for true and
    Django for false: it is no yes."""
    return value == 1


def split_ident(ident: object) -> tuple[uuid.UUID | None, str | None]:
    """(id, None) or (None, normalized external id), from a path part or JSON value; (None, None) if it is neither."""
    text, external_id = split_text(ident)
    return (ident if isinstance(ident, uuid.UUID) else parse_id(text)), external_id


def split_text(ident: object) -> tuple[str | None, str | None]:
    """As `split_ident`, but the id stays text: for bulk work, which need not build a UUID object for each row."""
    if not isinstance(ident, str):
        return None, None
    if is_id(ident):
        return ident, None
    if ident.startswith("external:"):
        return None, external_ids.asked(ident.removeprefix("external:"))
    return None, None


def external_ident(external_id: str) -> str:
    """The id with the prefix `external:`, as the API takes it and people see it; unchanged if the prefix is there."""
    return external_id if external_id.startswith("external:") else f"external:{external_id}"


def to_micros(instant: dt.datetime) -> int:
    """Microseconds since 1970 UTC; exact, unlike `timestamp()`. Raises ValueError without a time zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> dt.datetime:
    return EPOCH + micros * MICROSECOND


@overload
def rfc3339(instant: dt.datetime) -> str: ...
@overload
def rfc3339(instant: dt.datetime | None) -> str | None: ...
def rfc3339(instant: dt.datetime | None) -> str | None:
    """The instant as RFC 3339 text in UTC, ending in Z, for files and the API; None stays None."""
    return None if instant is None else instant.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


class InstantField(models.BigIntegerField):  # type: ignore[type-arg]  # not generic at run time
    """An aware datetime, stored as microseconds since 1970 UTC.

    SQLite keeps datetimes as text, where 10:00:00.000 is not <= 10:00:00; integers compare alike on every database.
    """

    # The types of assigned and read values, for django-stubs.
    _pyi_private_set_type: dt.datetime | Combinable  # type: ignore[assignment]
    _pyi_private_get_type: dt.datetime  # type: ignore[assignment]

    def from_db_value(self, value: int | None, *_args: object) -> dt.datetime | None:
        return None if value is None else from_micros(value)

    def to_python(self, value: Any) -> Any:
        if value is None or isinstance(value, dt.datetime):
            return value
        # A text of digits means microseconds; any other text is an ISO instant.
        if isinstance(value, str) and not value.lstrip("-").isdigit():
            try:
                return dt.datetime.fromisoformat(value)
            except ValueError as error:
                raise ValidationError(_("Not an instant: %(value)s"), params={"value": value}) from error
        return from_micros(int(value))

    def get_prep_value(self, value: Any) -> int | None:
        if value is None or isinstance(value, int):
            return value
        if isinstance(value, dt.datetime):
            return to_micros(value)
        return super().get_prep_value(value)  # type: ignore[no-any-return]  # F() and other expressions

    # BigIntegerField's range validators compare with integers.
    @property
    def validators(self) -> list[Any]:
        return []

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else value.isoformat()


def byte_order(database: str) -> str:
    """The name of the collation that compares by code point."""
    return "BINARY" if connections[database].vendor == "sqlite" else "C"


class ByteOrderField(models.CharField):  # type: ignore[type-arg]  # not generic at run time
    """Text that is compared by code point on PostgreSQL too, so that all that begins alike is one range of an index."""

    def db_parameters(self, connection: Any) -> Any:
        found = super().db_parameters(connection)
        return {**found, "collation": "C"} if connection.vendor == "postgresql" else found


class AddressField(models.EmailField):  # type: ignore[type-arg]  # not generic at run time
    """An e-mail address, normalized in writes and in look-ups alike."""

    default_validators = [validate_address]

    def formfield(self, **options: Any) -> Any:
        return super().formfield(**{"form_class": AddressFormField, **options})

    def get_prep_value(self, value: Any) -> Any:
        return email_addresses.asked(value) if isinstance(value, str) else super().get_prep_value(value)


class AddressFormField(forms.EmailField):
    default_validators = [validate_address]


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]  # not generic at run time
    """Text that is encrypted in the database, and so in its backups; a query can't filter by it.

    Reading raises `keys.UnknownKey` or `keys.NotEncrypted`.
    """

    def from_db_value(self, value: str | None, *_args: object) -> str | None:
        return None if value is None else keys.decrypt(value)

    def get_prep_value(self, value: Any) -> Any:
        return keys.encrypt(value) if isinstance(value, str) else super().get_prep_value(value)
