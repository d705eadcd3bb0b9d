"""Re-encryption of the data that is encrypted in the database: second factors, waiting e-mail, sessions. See `keys`."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import QuerySet, TextField, Value
from django.db.models.functions import Cast

from . import keys
from .models import OutgoingMessage

_CHUNK = 500
# Stands in `Done.unreadable` for a key id, where the text is not encrypted or was altered.
NO_KEY = "none"


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of encrypted rows: how its ciphertexts are read and replaced."""

    noun: str
    rows: Callable[[], QuerySet[Any]]
    ciphertexts: Callable[[Any], list[str]]
    replace: Callable[[Any, Callable[[str], str]], None]
    # Whether plain text is an error. A session from before sessions were encrypted may be plain until it ends.
    never_clear: bool = True


@dataclasses.dataclass
class Done:
    """Numbers of rows of one kind. `current`: encrypted with the first key; `unreadable`: missing key's id → rows."""

    noun: str
    rewritten: int = 0
    current: int = 0
    unreadable: Counter[str] = dataclasses.field(default_factory=Counter)


def map_secrets(data: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """A copy of an Authenticator's data with `change` applied to each secret; a passkey has no secret."""
    changed = dict(data)
    for name in ("secret", "seed"):
        if name in data:
            changed[name] = change(data[name])
    if data.get("migrated_codes"):
        changed["migrated_codes"] = [change(code) for code in data["migrated_codes"]]
    return changed


# Collects through `map_secrets`, so that only one function knows where the secrets are.
def _secrets_of(authenticator: Authenticator) -> list[str]:
    found: list[str] = []

    def collect(text: str) -> str:
        found.append(text)
        return text

    map_secrets(authenticator.data, collect)
    return found


def _replace_secrets(authenticator: Authenticator, change: Callable[[str], str]) -> None:
    data = map_secrets(authenticator.data, change)
    Authenticator.objects.filter(pk=authenticator.pk).update(data=data)


def _replace_body(message: Any, change: Callable[[str], str]) -> None:
    stored = Cast(Value(change(message.stored)), TextField())  # cast, because the field itself would encrypt it again
    OutgoingMessage.objects.filter(pk=message.pk).update(body=stored)


def _replace_session(session: Session, change: Callable[[str], str]) -> None:
    data = change(session.session_data)
    # Only if the data is unchanged: a request may have saved the session in the meantime, with the first key.
    Session.objects.filter(pk=session.pk, session_data=session.session_data).update(session_data=data)


KINDS = (
    Kind("second factor", Authenticator.objects.all, _secrets_of, _replace_secrets),
    Kind(
        "waiting message",
        lambda: OutgoingMessage.objects.defer("body").annotate(stored=Cast("body", TextField())),
        lambda message: [message.stored],
        _replace_body,
    ),
    Kind("session", Session.objects.all, lambda session: [session.session_data], _replace_session, never_clear=False),
)


def rewrite() -> list[Done]:
    """Encrypt with the first key whatever an older key encrypted, and whatever is still plain text.

    Works in chunks, each in a transaction of its own, so it may be stopped and run again. What no key decrypts stays.
    """
    return [_go_through(kind, write=True) for kind in KINDS]


def survey() -> list[Done]:
    """Count what `rewrite` would do, and change nothing."""
    return [_go_through(kind, write=False) for kind in KINDS]


def unreadable() -> list[Done]:
    """Count what sign-in or the worker can't read: encrypted with a missing key, altered, or wrongly plain text."""
    return [_go_through(kind, write=False, clear_is_unreadable=kind.never_clear) for kind in KINDS]


def _go_through(kind: Kind, *, write: bool, clear_is_unreadable: bool = False) -> Done:
    done, first = Done(kind.noun), keys.ring(keys.ENCRYPTION)[0].id
    left = kind.rows()
    # Keyset pagination by primary key: each chunk is locked and committed on its own.
    while True:
        with transaction.atomic():
            rows = list(left.order_by("pk").select_for_update()[:_CHUNK])
            for row in rows:
                texts = kind.ciphertexts(row)
                missing = _missing_key(texts, clear_is_unreadable)
                if missing is not None:
                    done.unreadable[missing] += 1
                elif all(keys.is_encrypted(text) and keys.key_id_of(text) == first for text in texts):
                    done.current += bool(texts)
                else:
                    done.rewritten += 1
                    if write:
                        kind.replace(row, lambda text: keys.encrypt(_read(text)))
        if not rows:
            return done
        left = kind.rows().filter(pk__gt=rows[-1].pk)


def _read(text: str) -> str:
    return keys.decrypt(text) if keys.is_encrypted(text) else text


def _missing_key(texts: list[str], clear_is_unreadable: bool) -> str | None:
    """The id of the key that is missing to read these, NO_KEY where no key could, None where all can be read."""
    for text in texts:
        try:
            if clear_is_unreadable or keys.is_encrypted(text):
                keys.decrypt(text)
        except keys.UnknownKey as error:
            return error.key_id
        except keys.NotEncrypted:
            return NO_KEY
    return None
