"""Backwards `migrate`: if one of its steps would refuse, all of it is refused before the first step.

Each step is a transaction of its own. After a refusal in the middle the database would fit no version of the portal,
and what the earlier steps have dropped would be lost.
"""

from collections.abc import Sequence
from typing import Any

from django.core.management import CommandError
from django.db.migrations import Migration, RunPython
from django.db.migrations.exceptions import IrreversibleError

REFUSES = "refuse_to_lose"  # a reverse of this name changes nothing, and may raise


def refuse_before_the_first_step(*, plan: Sequence[tuple[Migration, bool]], apps: Any, **_: Any) -> None:
    """Receiver of pre_migrate: calls each reverse named REFUSES. Raises CommandError if one of them refuses."""
    steps = [operation for migration, backwards in plan if backwards for operation in migration.operations]
    for step in steps:
        reverse: Any = step.reverse_code if isinstance(step, RunPython) else None
        if getattr(reverse, "__name__", "") == REFUSES:
            try:
                reverse(apps, None)
            except IrreversibleError as error:
                raise CommandError(f"Nothing was changed: {error}.") from error
