"""A portal with a bit of everything to be moved, and one that is as empty as after `migrate`."""

from django.db import connection

from accounts.models import ApiKey, Plan
from consent import ledger, triggers
from consent.bulk import jobs, transfer
from consent.bulk.selection import Selection
from consent.services import choices, locks
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests import cast
from tests.conftest import lift_triggers
from tests.keys import issue_key


def fill() -> None:
    """A bit of everything: choices of both scopes, a lock, a key, a job, positions and events that have none yet."""
    made = cast.make()
    choices.choose(
        surface=LE_CHAT_MOBILE,
        organization=made.labs,
        member=made.labs_member,
        choice="opted_out",
        actor=cast.Actor.from_user(made.member, confirmed=True),
        source="data_controls",
    )
    locks.place_lock(
        organization=made.brage,
        product="le_chat",
        reason="Le “contrat”\tde Brage \\ 1\t",
        reference="C-1",
        actor=made.provider,
        source="admin",
    )
    issue_key("Pipeline", [ApiKey.Scope.DECISIONS_READ])
    Plan.objects.filter(key="le_chat_free").update(training_default="opted_out")
    ledger.sequence()
    jobs.preview_choice(
        surface=LE_CHAT_CONSOLE,
        choice="opted_out",
        selection=Selection(everything=True),
        actor=made.provider,
        source="admin",
        reason="Asked for.",
    )
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=made.labs, choice="opted_out", actor=made.provider, source="admin"
    )


def empty() -> None:
    """As after `migrate`."""
    lift_triggers()
    with connection.cursor() as cursor:
        for model in reversed(transfer.tables()):
            if model is not Plan:
                cursor.execute(f"DELETE FROM {model._meta.db_table}")
    Plan.objects.filter(key="le_chat_free").update(training_default="opted_in")
    triggers.install(connection)
