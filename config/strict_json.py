"""JSON that can be read in one way only.

Of a name that an object has twice, readers keep the last value, or the first: `{"choice": "opted_out", "choice":
"opted_in"}` says both, so it is refused.
"""

import json
from collections import Counter
from typing import Any, NoReturn


def loads(text: str | bytes) -> Any:
    """Raises ValueError for what is no JSON, is nested too deep, or has a name twice in one object."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((name, _times),) = Counter(name for name, _value in pairs).most_common(1)
        raise ValueError(f"the name {json.dumps(name)} is there twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
