"""Makes the requests of `benchmarks.questions`: python -m benchmarks.asked N; DATABASE_URL is a loaded database."""

import json
import random
import sys

import django

django.setup()

from django.db import connection  # noqa: E402

from accounts.access import Actor  # noqa: E402
from accounts.models import Member  # noqa: E402
from consent import lookups  # noqa: E402
from consent.lookup_sql import STATEMENTS  # noqa: E402
from consent.lookups import Question  # noqa: E402
from consent.services.credentials import issue_key  # noqa: E402

BATCH = 1_000


def main(count: int) -> None:
    """Print as JSON: `count` decision requests about random members, an API key, and the SQL of a batch."""
    dice = random.Random(7)  # noqa: S311  chance, no secret
    ids = list(Member.objects.values_list("organization_id", "pk")[: 20 * count])
    chosen = [dice.choice(ids) for _ in range(count)]
    questions = [{"organization": str(o), "member": str(m), "product": "le_chat"} for o, m in chosen]
    text = issue_key(name="benchmark", scopes=["decisions:read"], actor=Actor.on_machine(), source="command").text
    items = [lookups.asked_of(connection.vendor, n, Question(**each)) for n, each in enumerate(questions[:BATCH])]
    parameters = [list(column) for column in zip(*items, strict=True)]
    statement = STATEMENTS[connection.vendor, False, False]
    print(json.dumps({"questions": questions, "key": text, "statement": statement, "parameters": parameters}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
