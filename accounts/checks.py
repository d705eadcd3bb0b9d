"""Django system checks: each reports a dangerous setting, and says how to correct it."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register

from . import keys


@register(Tags.security)
def secrets_are_strong(app_configs: Any, **kwargs: Any) -> list[Any]:
    problems: list[Any] = []
    if len(settings.API_KEY_PEPPER) < 32:
        problems.append(
            Error(
                "API_KEY_PEPPER has fewer than 32 characters.",
                hint="`make run` makes one in .env; or: python -c 'import secrets; print(secrets.token_urlsafe(48))'",
                id="accounts.E001",
            )
        )
    if settings.API_KEY_PEPPER == settings.SECRET_KEY:
        problems.append(
            Error(
                "API_KEY_PEPPER and SECRET_KEY are the same.",
                hint="Give each its own value, so that one can be rotated without the other.",
                id="accounts.E002",
            )
        )
    return problems


_MAKE = "python -c 'import secrets; print(secrets.token_urlsafe(48))'"


@register(Tags.security)
def keys_are_strong(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Check each key of ENCRYPTION_KEYS and WEBHOOK_KEYS; none may be used as another secret too."""
    problems: list[Any] = []
    others = [settings.SECRET_KEY, settings.API_KEY_PEPPER]
    for name in (keys.ENCRYPTION, keys.WEBHOOKS):
        configured = getattr(settings, name)
        if any(len(key) < 32 for key in configured):
            hint = f"Make each by: {_MAKE}; separate them by commas."
            problems.append(Error(f"{name} has a key with fewer than 32 characters.", hint=hint, id="accounts.E006"))
        if set(configured) & set(others) or len(set(configured)) < len(configured):
            hint = "Give each secret its own value, so that one can be rotated without the others."
            problems.append(Error(f"{name} has a key that is used elsewhere too.", hint=hint, id="accounts.E007"))
        others += configured
    return problems


@register(Tags.security, deploy=True)
def keys_are_configured(app_configs: Any, **kwargs: Any) -> list[Any]:
    return [
        Error(
            f"{name} is not set: its key is derived from SECRET_KEY, which then can't be changed alone.",
            hint=f"{name}=… with the output of: {_MAKE}; then `manage.py rotate_secrets`. See docs/operations.md.",
            id=f"accounts.E{number:03}",
        )
        for name, number in ((keys.ENCRYPTION, 8), (keys.WEBHOOKS, 9))
        if not getattr(settings, name)
    ]


@register(Tags.security, deploy=True)
def embedded_database_in_production(app_configs: Any, **kwargs: Any) -> list[Any]:
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return [
            Warning(
                "The portal runs on SQLite.",
                hint="Fine for one machine. For several processes under load set DATABASE_URL to a PostgreSQL.",
                id="accounts.W003",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def mail_goes_somewhere(app_configs: Any, **kwargs: Any) -> list[Any]:
    if settings.DELIVERY["EMAIL_BACKEND"].endswith("console.EmailBackend"):
        return [
            Warning(
                "E-mail is printed by the worker, links to reset passwords included.",
                hint="Set EMAIL_URL to a mail server: smtp+tls://user:password@host:587",
                id="accounts.W004",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def second_factors_are_required(app_configs: Any, **kwargs: Any) -> list[Any]:
    if not settings.REQUIRE_MFA:
        return [
            Warning(
                "Operators, owners and admins sign in without a second factor.",
                hint="Leave REQUIRE_MFA out, or set it to true.",
                id="accounts.W005",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def database_file_is_private(app_configs: Any, **kwargs: Any) -> list[Any]:
    database = settings.DATABASES["default"]
    path = Path(str(database["NAME"]))
    if database["ENGINE"].endswith("sqlite3") and path.is_file() and path.stat().st_mode & 0o077:
        return [
            Warning(
                "Others on this machine can read the database file.",
                hint=f"It belongs to another user than the one who runs the portal: chmod 600 {path.name}",
                id="accounts.W010",
            )
        ]
    return []
