"""What the pipeline has to know of the products: from what needs Django, into the manifest."""

import datetime as dt

from ..models import CoolingOff
from ..pipeline.manifest import Product
from ..surfaces import DATA_KINDS, WITH_MEMBERS


def catalogue(at: dt.datetime) -> dict[str, Product]:
    """Product → its kinds of data, whether members choose, and the days of cooling-off in force at an instant."""
    days = CoolingOff.objects.in_force(at)
    return {
        name.value: Product(kinds, name.value in WITH_MEMBERS, days[name.value]) for name, kinds in DATA_KINDS.items()
    }
