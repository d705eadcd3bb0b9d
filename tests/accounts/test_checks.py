"""The system checks: each dangerous setting is found, and a command refuses to start with it."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as conf
from django.core.checks import run_checks

from accounts import checks
from tests.support.commands import run

STRONG = "a pepper of more than 32 characters, of no use"


def found(**options: bool) -> set[str]:
    return {problem.id or "" for problem in run_checks(tags=["security"], **options)}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("pepper", "secret", "errors"),
    [
        (STRONG, STRONG[::-1], set()),
        ("short", STRONG, {"accounts.E001"}),
        (STRONG, STRONG, {"accounts.E002"}),
        ("short", "short", {"accounts.E001", "accounts.E002"}),
    ],
)
def test_secrets__weak_or_used_twice__found_and_no_command_starts(
    settings: Any, pepper: str, secret: str, errors: set[str]
) -> None:
    settings.API_KEY_PEPPER, settings.SECRET_KEY = pepper, secret
    assert found() & {"accounts.E001", "accounts.E002"} == errors
    done = run("verify_ledger")
    assert done.code == (1 if errors else 0)
    assert all(error in done.err for error in errors)


@pytest.mark.parametrize(
    ("engine", "mode", "problems"),
    [
        ("sqlite3", 0o600, {"accounts.W003"}),
        ("sqlite3", 0o640, {"accounts.W003", "accounts.W010"}),
        ("sqlite3", 0o604, {"accounts.W003", "accounts.W010"}),
        ("sqlite3", None, {"accounts.W003"}),  # not made yet
        ("postgresql", 0o644, set()),
    ],
)
def test_database__embedded_or_readable_by_others__found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: str, mode: int | None, problems: set[str]
) -> None:
    file = tmp_path / "portal.sqlite3"
    if mode is not None:
        file.touch()
        file.chmod(mode)
    monkeypatch.setitem(conf.DATABASES["default"], "ENGINE", f"django.db.backends.{engine}")
    monkeypatch.setitem(conf.DATABASES["default"], "NAME", file)
    found = [*checks.embedded_database_in_production(None), *checks.database_file_is_private(None)]
    assert {problem.id for problem in found} == problems
