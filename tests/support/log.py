"""The log in tests: its key, events for it by the hundred, and a step of the worker."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.test import override_settings

from consent import ledger
from consent.log.checkpoints import Step
from consent.models import ConsentEvent, EventKind
from consent.proofs.note import Signer
from consent.services import choices, locks, members, organizations
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member

ORIGIN = "portal.example/log"
SIGNER = Signer(ORIGIN, bytes(range(32)))
SETTINGS: dict[str, Any] = {
    "LOG_SIGNING_KEY": SIGNER.private_text(),
    "LOG_VERIFIER_KEY": [],
    "LOG_ORIGIN": ORIGIN,
    "LOG_CHECKPOINT_SECONDS": 0,
    "LOG_PUBLIC": True,
}


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """With a log that everybody may read, and a checkpoint after each step."""
    with override_settings(**SETTINGS):
        yield


def make_history() -> Cast:
    """Choices of an organization and of a member, a lock, a leaving, an account that is closed; with positions."""
    made = casting.make()
    of_labs: dict[str, Any] = {"organization": made.labs, "actor": made.provider, "source": "admin"}
    choices.choose(surface=LE_CHAT_CONSOLE, **of_labs, choice="opted_out")
    opt_out_as_member(made)
    locks.place_lock(**of_labs, product="ai_studio", reason="By contract", reference="C-1")
    members.remove_member(member=made.labs_member, actor=made.provider, source="admin")
    organizations.close_organization(organization=made.brage, actor=made.provider, source="admin", reason="Over")
    ledger.sequence()
    return made


def add_events(count: int) -> None:
    """Events that are about nothing in particular; with positions."""
    now = ledger.clock()
    ConsentEvent.objects.bulk_create(
        ConsentEvent(
            kind=EventKind.ACCESS_ACCOUNT_CREATED,
            recorded_at=now,
            product=None,
            target=str(n),
            actor_type="command",
            actor_id=f"operator-{n % 7}" if n % 2 else "",
            by_operator=bool(n % 2),
            source="command",
            reason="Because “é” it is so" if n % 3 == 0 else "",
            reference=f"T-{n}" if n % 5 == 0 else "",
            reason_code="",
        )
        for n in range(count)
    )
    ledger.sequence()


def step() -> None:
    """Everything that has a position comes into the log, and is signed."""
    work = Step()
    while work(at_once=True):
        pass
