"""Exports of data as files: each is noted in the access trail before the file is handed out."""

from enum import StrEnum

from django.db import transaction

from accounts.access import Actor
from accounts.models import Organization

from ..models import ConsentEvent, EventKind
from . import trail


class Export(StrEnum):
    HISTORY = "history"  # an organization's events
    OWN_CHOICES = "own_choices"  # of the person who asks
    JOB_ROWS = "job_rows"
    JOB_PROBLEMS = "job_problems"  # bad rows of an import
    ORGANIZATIONS = "organizations"
    MEMBERS = "members"
    SUBSCRIPTIONS = "subscriptions"
    CHOICES = "choices"
    EXTERNAL_IDS = "external_ids"
    REMOVALS = "removals"  # keys, of members too, that have to be removed from a training run
    STATE = "state"  # the whole installation
    BACKUP = "backup"  # the same, as a copy of the database


@transaction.atomic
def note_export(
    what: Export | str, *, organization: Organization | None, actor: Actor, source: str, target: object = ""
) -> ConsentEvent:
    """Note an export. Call it before the file is handed out: if it fails, there must be no file.

    `organization` sees the event. Exports of a person's own data, and the provider's of all data, have None: only
    operators see those. Raises ValueError for an unknown export.
    """
    return trail.note(
        EventKind.ACCESS_DATA_EXPORTED,
        organization=organization,
        actor=actor,
        source=source,
        target=target,
        after=Export(what).value,
    )
