"""Fields and base serializers with strict input: no number as text, no unknown field, no instant without its zone."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.core.validators import EmailValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers

from accounts.characters import Unusable, tidy
from accounts.external_ids import LENGTH
from accounts.fields import line_break_in, rfc3339, split_ident, validate_address

from ..errors import Invalid
from .body import parse_instant, storable

_NO_OBJECT, _NO_LIST = gettext_lazy("Send an object."), gettext_lazy("Give a list.")
_SHOWN = 80  # at most so many characters of a wrong value are repeated in an error
IDENT = len("external:") + LENGTH


class Text(serializers.CharField):
    """A string; unlike DRF's CharField it refuses numbers.

    `longest` and `pattern` only document the field: the services refuse what is too long, with one error text for
    screens, API and commands.
    """

    def __init__(self, *, longest: int | None = None, pattern: str = "", **named: Any) -> None:
        super().__init__(**named)
        self.longest, self.pattern = longest, pattern

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data not in (serializers.empty, None) and not isinstance(data, str):
            self.fail("invalid")
        return super().run_validation(data)


def _one_line(text: str) -> str:
    found = tidy(text)
    if code := line_break_in(found):
        raise Unusable(chr(int(code.removeprefix("U+"), base=16)))
    return found


class Sought(Text):
    """A text to search for. A value that nothing can have is refused, instead of finding nothing.

    `spelled` normalizes the text, and raises Unusable or Invalid where no object can have it.
    """

    default_error_messages = {"sought": gettext_lazy("“{input}” can't be used as a name.")}

    def __init__(self, spelled: Callable[[str], str] = _one_line, *, longest: int, **named: Any) -> None:
        super().__init__(longest=longest, **{"required": False, **named})
        self._spelled = spelled

    def to_internal_value(self, data: Any) -> str:
        text: str = super().to_internal_value(data)
        try:
            found = self._spelled(text)
        except Unusable as error:
            raise serializers.ValidationError(error.told or self._told(text)) from None
        except Invalid as error:
            raise serializers.ValidationError(str(error)) from None
        if len(found) > (self.longest or 0):
            raise serializers.ValidationError(self._told(text))
        return found

    def _told(self, text: str) -> str:
        return str(self.error_messages["sought"]).format(input=text[:_SHOWN])


class Ident(Sought):
    """An id, or `external:` followed by an external id."""

    default_error_messages = {
        "sought": gettext_lazy("“{input}” is not an id. Give an id, or external: followed by an external id.")
    }

    def __init__(self, **named: Any) -> None:
        super().__init__(_ident, longest=IDENT, **named)


def _ident(text: str) -> str:
    if split_ident(text) == (None, None):
        raise Unusable
    return text


class Email(serializers.EmailField, Text):
    """An e-mail address, validated by the product's own rule in place of DRF's.

    It is an EmailField only so that the description says `format: email`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        others = [each for each in self.validators if not isinstance(each, EmailValidator)]
        self.validators = [*others, validate_address]


class TextOrNull(serializers.CharField):
    """Shows an empty string as null."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**{"allow_null": True, **named})

    def to_representation(self, value: Any) -> Any:
        return super().to_representation(value) or None


class OneOf(serializers.ChoiceField):
    """One of a closed set of strings; `vocabularies` names most sets for the description.

    `vocabulary` is that name where another set has the same strings.
    """

    default_error_messages = {
        "one_of": gettext_lazy("“{input}” is none of: {known}."),
        "no_text": gettext_lazy("Give one of: {known}."),
    }

    def __init__(self, *, vocabulary: str = "", **named: Any) -> None:
        super().__init__(**named)
        self.vocabulary = vocabulary

    def to_internal_value(self, data: Any) -> Any:
        known = ", ".join(map(str, self.choices))
        if not isinstance(data, str):
            self.fail("no_text", known=known)
        if data not in self.choices:
            self.fail("one_of", input=data[:_SHOWN], known=known)
        return data


class ListOf(serializers.ListField):
    default_error_messages = {"not_a_list": _NO_LIST}


class MapOf(serializers.DictField):
    default_error_messages = {"not_a_dict": _NO_OBJECT}


class Json(serializers.JSONField):
    """Any JSON that the database can store: no NUL and no lone surrogate in any text or name."""

    def to_internal_value(self, data: Any) -> Any:
        if not all(map(storable, _texts(data))):
            self.fail("invalid")
        return super().to_internal_value(data)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield name
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


class OneOfOrNull(OneOf):
    """Shows an empty string as null."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**{"allow_null": True, **named})

    def to_representation(self, value: Any) -> Any:
        return super().to_representation(value) or None


class Instant(serializers.Field[dt.datetime, Any, str, Any]):
    default_error_messages = {"invalid": gettext_lazy("Give an instant with its time zone, like 2026-11-20T09:30:00Z.")}

    def to_internal_value(self, data: Any) -> dt.datetime:
        instant = parse_instant(data)
        if instant is None:
            self.fail("invalid")
        return instant

    def to_representation(self, value: dt.datetime) -> str:
        return rfc3339(value)


class Output(serializers.Serializer[Any]):
    """Base of all output; `about` describes it to readers of the OpenAPI description."""

    about = ""


class Input(serializers.Serializer[Any]):
    """Base of all input, bodies and query parameters: unknown names are errors. `about` is as in Output."""

    about = ""
    default_error_messages = {"invalid": _NO_OBJECT}

    @classmethod
    def many_init(cls, *args: Any, **kwargs: Any) -> Any:
        return super().many_init(*args, **{"error_messages": {"not_a_list": _NO_LIST}, **kwargs})

    def to_internal_value(self, data: Any) -> Any:
        errors: dict[Any, Any] = {}
        if isinstance(data, Mapping):
            errors = {name: [_("There is no such field.")] for name in data if name not in self.fields}
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            errors |= error.detail  # type: ignore[arg-type]
        if errors:
            raise serializers.ValidationError(errors)
        return value
