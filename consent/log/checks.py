"""Django system checks of the log's settings: each says how to correct what it finds."""

from typing import Any

from django.core.checks import Error, Info, Tags, register

from . import keys

_HINT = "`manage.py make_log_key` makes a key of the name that LOG_ORIGIN has. See docs/proofs.md."


@register(Tags.security)
def log_keys_are_keys(app_configs: Any, **kwargs: Any) -> list[Any]:
    """None at all is no error: then there is no log."""
    try:
        keys.verifiers()
    except keys.BadKey as error:
        return [Error(str(error), hint=_HINT, id="consent.E002")]
    return []


@register(Tags.security, deploy=True)
def log_is_kept(app_configs: Any, **kwargs: Any) -> list[Any]:
    if keys.is_on():
        return []
    return [
        Info(
            "LOG_SIGNING_KEY is not set: who owns the database could rewrite the ledger, and nobody would notice.",
            hint=_HINT,
            id="consent.I003",
        )
    ]
