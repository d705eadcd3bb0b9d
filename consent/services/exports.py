"""Data that leaves as a file: whoever takes it out is noted before they have it."""

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
    STATE = "state"  # the whole installation


@transaction.atomic
def note_export(
    what: Export | str, *, organization: Organization | None, actor: Actor, source: str, target: object = ""
) -> ConsentEvent:
    """To be called before the file is given away; where it can't be noted, no file is.

    `organization` is told of it. What people take of their own data, and the provider of everybody's, is for operators
    to know. Raises ValueError for what is no export.
    """
    return trail.note(
        EventKind.ACCESS_DATA_EXPORTED,
        organization=organization,
        actor=actor,
        source=source,
        target=target,
        after=Export(what).value,
    )
