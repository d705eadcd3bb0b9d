"""The tables of a snapshot, as Arrow schemas that follow from the catalogue of products.

Instants are whole microseconds since 1970 UTC in 64 bits: engines differ in time zones and units, not in integers.
"""

from .errors import missing
from .manifest import EXTERNAL_IDS, MANIFEST, MEMBERS, ORGANIZATIONS, TABLES, Catalogue, Product

try:
    import pyarrow as pa
except ImportError as error:
    raise missing(error) from None

__all__ = ["EXTERNAL_IDS", "MANIFEST", "MEMBERS", "ORGANIZATIONS", "TABLES", "Catalogue", "Product", "schemas"]

ROWS_PER_FILE = 1_000_000
ROWS_PER_GROUP = 122_880


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
