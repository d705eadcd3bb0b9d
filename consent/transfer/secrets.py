"""Checks whether an installation that was moved here can use its secrets, which depend on keys in the settings."""

from collections.abc import Iterator, Mapping

from accounts import encrypted, keys
from accounts.models import ApiKey

from .. import verification_log
from ..models import LogCheckpoint, WebhookEndpoint
from ..webhooks.secrets import FROM_SECRET_KEY

# Settings with a single secret, on which rows depend without naming it. A file has a fingerprint of each.
_SINGLE = ("SECRET_KEY", "API_KEY_PEPPER")


def describe() -> dict[str, str]:
    """For the file's header: setting → fingerprint of its value, for the settings that rows depend on."""
    return {name: keys.fingerprint(name) for name in _SINGLE}


def lost(described: Mapping[str, str]) -> list[str]:
    """A sentence for each kind of secret that can't be used here; `described` is from the file's header."""
    other = {name for name in _SINGLE if described.get(name) != keys.fingerprint(name)}
    return [*_unreadable(), *_unsigned("SECRET_KEY" in other), *_dead_keys("API_KEY_PEPPER" in other), *_log()]


def _unreadable() -> Iterator[str]:
    for found in encrypted.unreadable():
        for key_id, rows in sorted(found.unreadable.items()):
            what = "altered, or not encrypted" if key_id == encrypted.NO_KEY else f"encrypted by key {key_id}"
            hint = "" if key_id == encrypted.NO_KEY else f": add that key to {keys.ENCRYPTION}"
            yield f"{found.noun}s that can't be read: {rows:,}, {what}{hint}."


def _unsigned(other_secret_key: bool) -> Iterator[str]:
    here = {key.id for key in keys.ring(keys.WEBHOOKS)}
    used = WebhookEndpoint.objects.order_by().values_list("key_id", flat=True)
    for key_id in sorted(set(used)):
        rows = WebhookEndpoint.objects.filter(key_id=key_id).count()
        if key_id == FROM_SECRET_KEY and other_secret_key:
            yield f"webhooks whose signing secret would be another: {rows:,}; take SECRET_KEY along."
        elif key_id != FROM_SECRET_KEY and key_id not in here:
            yield f"webhooks that can't be signed: {rows:,}, by key {key_id}: add that key to {keys.WEBHOOKS}."


def _dead_keys(other_pepper: bool) -> Iterator[str]:
    rows = ApiKey.objects.filter(revoked_at=None).count() if other_pepper else 0
    if rows:
        yield f"API keys that would no longer work: {rows:,}; take API_KEY_PEPPER along."


def _log() -> Iterator[str]:
    """Checkpoints that no key of this installation has signed: the log could not go on under its name."""
    rows = LogCheckpoint.objects.count()
    if rows and (problems := verification_log.signature_problems()):
        yield f"checkpoints of the log whose signature can't be checked: {rows:,}: {problems[0]}; take LOG_* along."
