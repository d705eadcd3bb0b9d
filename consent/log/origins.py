"""The names under which the log is signed: one for each epoch in which it was.

Adopting a restored database ends an origin for good: under its name the lost ledger may have signed events that are not
here. The next origin has the same tree, as far as this ledger has it, and goes on with what came after.
"""

from django.db import transaction

from .. import ledger
from ..models import LogOrigin, Restore
from ..proofs.note import Verifier
from . import keys, store


def epoch() -> int:
    return Restore.objects.epoch()


def current() -> LogOrigin | None:
    """The newest origin; None before anything was signed. It has ended where its number is not that of the epoch."""
    return LogOrigin.objects.order_by("-number").first()


def number() -> int:
    """The number of the newest origin: before the first, that which it will have."""
    origin = current()
    return origin.number if origin else epoch()


def base_of(origin: LogOrigin) -> str:
    """The LOG_ORIGIN that an origin's name is made of."""
    return origin.name if origin.number == 1 else origin.name.removesuffix(f"/{origin.number}")


def verifiers() -> tuple[Verifier, ...]:
    """The public keys of this log, under the name of each origin up to the newest, those that are lost too.

    Raises BadKey.
    """
    return keys.verifiers(number())


def begin_next(*, paused: bool) -> None:
    """End the origin that there is, and begin that of this epoch; to be called as soon as the epoch has begun.

    Paused it stays paused, as another copy may sign. `paused`: for other reasons. Without a log nothing is begun.
    """
    before = current()
    if before is None and not _has_log():
        return
    _begin(before, paused=paused or (before is not None and before.paused))


def is_paused() -> bool:
    """Whether nothing is signed until somebody says so by `resume`."""
    origin = current()
    return origin is not None and (origin.paused or origin.number != epoch())


@transaction.atomic
def resume() -> None:
    """Let the log be signed again, after it was paused. The other copy of the installation must be off.

    An origin that a restore has ended stays as it is: the next begins.
    """
    origin = current()
    if origin is not None and origin.number != epoch():
        _begin(origin, paused=False)
    elif origin is not None:
        LogOrigin.objects.filter(pk=origin.pk).update(paused=False)


def pause() -> None:
    """Let nothing be signed here: another copy of this ledger may sign, or have signed, even if this one never has."""
    if current() is None and _has_log():
        _begin(None, paused=True)
    LogOrigin.objects.update(paused=True)


def _has_log() -> bool:
    return keys.is_on() or store.size() > 0


def _begin(before: LogOrigin | None, *, paused: bool) -> None:
    number = epoch()
    name = keys.name_of(number) if before is None else f"{base_of(before)}/{number}"
    LogOrigin.objects.create(number=number, name=name, begun_at=ledger.clock(), paused=paused)
