"""The keys of the log, from the settings: who signs its checkpoints, and under which name."""

from django.conf import settings

from ..proofs.errors import ProofError
from ..proofs.note import NoteSigner, Signer, Verifier


class BadKey(Exception):
    """LOG_SIGNING_KEY or LOG_VERIFIER_KEY is malformed, or that of another log. The message says what is wrong."""


def is_on() -> bool:
    """Whether this installation keeps a log. Processes that only serve it may have its verifier key alone."""
    return bool(settings.LOG_SIGNING_KEY or settings.LOG_VERIFIER_KEY)


def may_sign() -> bool:
    """Whether this process has the key that signs."""
    return bool(settings.LOG_SIGNING_KEY)


def name_of(number: int) -> str:
    """The name of the log's origin of this number, an epoch: that of the first is LOG_ORIGIN itself."""
    return str(settings.LOG_ORIGIN) if number == 1 else f"{settings.LOG_ORIGIN}/{number}"


def signer(number: int = 1) -> NoteSigner:
    """What signs for the origin of this number. Raises BadKey.

    A key management service would take the place of `Signer` here: all that is asked of it is `NoteSigner`.
    """
    found = _own()
    return found if number == 1 else found.under(name_of(number))


def _own() -> Signer:
    try:
        found = Signer.parse(settings.LOG_SIGNING_KEY)
    except ProofError as error:
        raise BadKey(f"LOG_SIGNING_KEY is malformed: {error}") from None
    _require_name("LOG_SIGNING_KEY", found.name)
    return found


def verifiers(numbers: int = 1) -> tuple[Verifier, ...]:
    """The public keys of this log, under the names of its origins up to `numbers`. Raises BadKey."""
    found = [_parsed(text) for text in settings.LOG_VERIFIER_KEY]
    if settings.LOG_SIGNING_KEY:
        found.append(_own().verifier)
    for each in found:
        _require_name("LOG_VERIFIER_KEY", each.name)
    every = (Verifier(name_of(number), each.key) for number in range(1, numbers + 1) for each in found)
    return tuple(dict.fromkeys(every))


def _parsed(text: str) -> Verifier:
    try:
        return Verifier.parse(text)
    except ProofError as error:
        raise BadKey(f"LOG_VERIFIER_KEY is malformed: {error}") from None


def _require_name(setting: str, name: str) -> None:
    if name != settings.LOG_ORIGIN:
        raise BadKey(f"{setting} is a key of {name}, but LOG_ORIGIN is {settings.LOG_ORIGIN}.")
