"""The tables of a snapshot, as Arrow schemas that follow from the catalogue of products.

Instants are whole microseconds since 1970 UTC in 64 bits: engines differ in time zones and units, not in integers.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import PipelineError, missing

try:
    import pyarrow as pa
except ImportError as error:
    raise missing(error) from None

FORMAT = 1
PREDICATE = "/consent-snapshot/v1"  # after the portal's address
MANIFEST = "manifest.json"
ORGANIZATIONS, MEMBERS, EXTERNAL_IDS = "organizations", "members", "external_ids"
TABLES = (ORGANIZATIONS, MEMBERS, EXTERNAL_IDS)
ROWS_PER_FILE = 1_000_000
ROWS_PER_GROUP = 122_880

_PRODUCT = re.compile("[a-z][a-z0-9_]{0,39}")  # it becomes part of column names


class Product(NamedTuple):
    """What the pipeline has to know of a product: its kinds of data, whether members choose, days of cooling-off."""

    data_kinds: tuple[str, ...]
    members: bool
    cooling_off_days: int = 0


Catalogue = Mapping[str, Product]


def catalogue_data(catalogue: Catalogue) -> dict[str, Any]:
    """The catalogue as it stands in a manifest."""
    products = {name: {**each._asdict(), "data_kinds": list(each.data_kinds)} for name, each in catalogue.items()}
    return {"products": products}


def parse_catalogue(data: Any) -> dict[str, Product]:
    """The inverse of `catalogue_data`. Raises PipelineError for anything that does not look like one."""
    try:
        found = {name: _product(name, **each) for name, each in data["products"].items()}
    except (TypeError, KeyError, AttributeError, ValueError):
        found = {}
    if not found:
        raise PipelineError("The catalogue in the manifest is none that this version knows.")
    return found


def _product(name: str, *, data_kinds: Any, members: Any, cooling_off_days: Any) -> Product:
    whole = type(cooling_off_days) is int and cooling_off_days >= 0
    texts = isinstance(data_kinds, list) and all(isinstance(kind, str) for kind in data_kinds)
    if not (_PRODUCT.fullmatch(name) and whole and texts and isinstance(members, bool)):
        raise ValueError(name)
    return Product(tuple(data_kinds), members, cooling_off_days)


def _layer(product: str) -> list[pa.Field]:
    """The columns of a layer: whether it allows use, why, and since when."""
    return [
        pa.field(f"{product}_allowed", pa.bool_(), nullable=False),
        pa.field(f"{product}_reason", pa.string(), nullable=False),
        pa.field(f"{product}_since", pa.int64()),
    ]


def schemas(catalogue: Catalogue) -> dict[str, pa.Schema]:
    """Table → its columns. A member's row has the layers of those products alone in which members choose."""
    organizations = [
        pa.field("organization", pa.uuid(), nullable=False),
        pa.field("organization_id", pa.string(), nullable=False),
        pa.field("personal", pa.bool_(), nullable=False),
        pa.field("owner", pa.uuid()),
        pa.field("created_at", pa.int64(), nullable=False),
    ]
    members = [
        pa.field("member", pa.uuid(), nullable=False),
        pa.field("member_id", pa.string(), nullable=False),
        pa.field("organization", pa.uuid(), nullable=False),
        pa.field("joined_at", pa.int64(), nullable=False),
        pa.field("left_at", pa.int64()),
    ]
    external_ids = [
        pa.field("external_id", pa.string(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("organization", pa.uuid(), nullable=False),
        pa.field("member", pa.uuid()),
        pa.field("bound_at", pa.int64(), nullable=False),
        pa.field("released_at", pa.int64()),
    ]
    for name, product in sorted(catalogue.items()):
        organizations += _layer(name)
        if product.members:
            members += _layer(name)
    return {
        ORGANIZATIONS: pa.schema(organizations),
        MEMBERS: pa.schema(members),
        EXTERNAL_IDS: pa.schema(external_ids),
    }
