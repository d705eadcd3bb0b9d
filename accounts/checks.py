"""System checks: dangerous configuration is named, with what to do about it."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register


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
