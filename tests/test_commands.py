"""What holds for every command of the portal."""

import io
import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from accounts.management.base import PortalCommand, Progress, printable, table
from tests import commands

ROOT = Path(__file__).parents[1]


def _names(app: str) -> list[str]:
    return [module.name for module in pkgutil.iter_modules(import_module(f"{app}.management.commands").__path__)]


COMMANDS = [(app, name) for app in ("consent",) for name in _names(app)]


def manage(*argv: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *argv],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": "sqlite:///:memory:", **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("app", "name"), COMMANDS)
def test_command__any__has_a_test_file(app: str, name: str) -> None:
    assert (ROOT / f"tests/{app}/test_command_{name}.py").is_file()


@pytest.mark.parametrize(("app", "name"), COMMANDS)
def test_command__any__says_what_it_does_with_examples(app: str, name: str) -> None:
    command = import_module(f"{app}.management.commands.{name}").Command()
    assert isinstance(command, PortalCommand)
    text = command.create_parser("manage.py", name).format_help()
    assert command.help.split()[0] in text
    assert f"  manage.py {name}" in text.partition("examples:\n")[2]
    assert all(len(line) <= 120 for line in text.splitlines())


def test_command__wrong_command_line__exits_2_with_usage() -> None:
    run = manage("set_consent", "--choice", "sometimes")
    assert (run.returncode, run.stdout) == (2, "")
    assert "usage: manage.py set_consent" in run.stderr
    assert "Traceback" not in run.stderr


def test_command__database_without_tables__exits_1_with_one_line() -> None:
    run = manage("explain", "external:acme", "le_chat")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.splitlines() == [
        "Failed: The database said: no such table: accounts_binding. Nothing was changed."
    ]


def test_command__interrupted__exits_1_and_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("consent.management.commands.explain.Command.handle", interrupt)
    run = commands.run("explain", "x", "le_chat")
    assert (run.code, run.out, run.err) == (1, "", "Failed: Stopped. Nothing was changed.\n")


@pytest.mark.parametrize(("stream", "bar"), [(commands.Terminal(), True), (io.StringIO(), False)])
def test_progress__terminal_or_not__bar_or_plain_line(
    stream: io.StringIO, bar: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    with Progress(PortalCommand(stderr=stream), 2000, "rows") as progress:  # type: ignore[arg-type]
        progress.reach(1000)
        progress.reach(2000)
    text = stream.getvalue()
    assert ("\r" in text and "2000/2000" in text) if bar else text == "2,000 of 2,000 rows\n"


def test_progress__gone_on_with__plain_line_counts_what_was_done_before() -> None:
    stream = io.StringIO()
    with Progress(PortalCommand(stderr=stream), 3000, "rows", 1000) as progress:  # type: ignore[arg-type]
        progress.reach(3000, "500 a second")
    assert stream.getvalue() == "3,000 of 3,000 rows, 500 a second\n"


def test_printable__control_and_turning_characters__spelled_out() -> None:
    assert printable("a\x1b[31mb\nc\u202ed\x9b") == "a\\u001b[31mb\\nc\\u202ed\\u009b"
    assert printable("Zieliński Ω 日本") == "Zieliński Ω 日本"


def test_table__cells_of_several_widths__aligned_without_trailing_space() -> None:
    assert table([("a", 1), ("long", None)], ["name", "n"]) == "name  n\na     1\nlong  –"
