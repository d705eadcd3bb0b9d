"""A strict JSON parser that refuses ambiguous documents.

If an object has a name twice, some parsers keep the first value and some the last: `{"choice": "opted_out", "choice":
"opted_in"}` says both, so it is refused. Error messages are the portal's own and translated, not those of Python.
"""

import functools
import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

from django.utils.translation import gettext as _


class NotJson(ValueError):
    """The text is not acceptable JSON; the message says why, for people."""


def loads(text: str | bytes, *, number: Callable[[str], Any] | None = None) -> Any:
    """The parsed value. Raises NotJson for what is not JSON in UTF-8, nests too deep, or repeats a name in an object.

    `number`, if given, converts the text of each number, NaN and Infinity included; then no number is refused here.
    """
    decoded = _decoded(text) if isinstance(text, bytes) else text
    if decoded.startswith("\ufeff"):
        raise NotJson(_("it begins with a byte order mark; remove it"))
    try:
        return _decoder(number).decode(decoded)
    except RecursionError:
        raise NotJson(_("it is nested too deep")) from None
    except json.JSONDecodeError as error:
        raise NotJson(_where(error, decoded)) from None
    except NotJson:
        raise
    except ValueError:  # the only other case in the standard library: an integer with too many digits
        raise NotJson(_("it has a number with too many digits")) from None


@functools.lru_cache(8)  # as `json.loads` would make one for each text
def _decoder(number: Callable[[str], Any] | None) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_int=number,
        parse_float=number or _float,
        parse_constant=number or _refuse_constant,
        object_pairs_hook=_object,
    )


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(_("it is not in UTF-8, at byte %s") % (error.start + 1)) from None


def _where(error: json.JSONDecodeError, text: str) -> str:
    if not text.strip():
        return _("it is empty")
    if error.pos >= len(text.rstrip()):
        return _("it ends too early")
    return _("it has a syntax error at line %(line)s, column %(column)s") % {
        "line": error.lineno,
        "column": error.colno,
    }


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A dict keeps the last value of a repeated name, so fewer entries than pairs show a repetition.
    found = dict(pairs)
    if len(found) != len(pairs):
        ((name, _times),) = Counter(name for name, _value in pairs).most_common(1)
        raise NotJson(_("the name %s appears twice") % json.dumps(name))
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJson(_("it has a number that is too large"))
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(_("%s is not JSON") % name)
