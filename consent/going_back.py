"""`migrate` back to a version before: what one of its steps would refuse is refused before the first of them.

Each step is a transaction of its own. Refused in the middle, the database would be of no version, and what the steps
until then have dropped would be gone.
"""

from collections.abc import Sequence
from typing import Any

from django.core.management import CommandError
from django.db.migrations import Migration, RunPython
from django.db.migrations.exceptions import IrreversibleError

REFUSES = "refuse_to_lose"  # a reverse of this name changes nothing, and may raise


def refuse_before_the_first_step(*, plan: Sequence[tuple[Migration, bool]], apps: Any, **_: Any) -> None:
    """Takes the signal before any migration. Raises CommandError."""
    steps = [operation for migration, backwards in plan if backwards for operation in migration.operations]
    for step in steps:
        reverse: Any = step.reverse_code if isinstance(step, RunPython) else None
        if getattr(reverse, "__name__", "") == REFUSES:
            try:
                reverse(apps, None)
            except IrreversibleError as error:
                raise CommandError(f"Nothing was changed: {error}.") from error
