"""What holds for every command of the portal."""

import io
import os
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from importlib import import_module
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError
from django.db import DatabaseError

from accounts.management.base import Failed, Misuse, NotConfirmed, PortalCommand, Progress, printable, table
from tests.support import commands

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]


# Whatever there is, so that a new one can't differ.
OURS = sorted((app, name) for name, app in get_commands().items() if app in ("accounts", "consent"))
COMMANDS = [(app, name) for app, name in OURS if app == "consent"]
EVERY = [name for _app, name in OURS]


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
    assert len([*(ROOT / "tests" / app).rglob(f"test_command_{name}.py")]) == 1


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


# --- As a program among others ---------------------------------------------------------------------------------------


class Gone(io.StringIO):
    """Nobody reads any more."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


def ending(name: str, error: BaseException, *argv: str) -> commands.Run:
    """The command, its arguments in order, whose work ends like this."""

    def end(*_args: object, **_options: object) -> None:
        raise error

    options = dict.fromkeys(("traceback", "force_color", "no_color", "settings", "pythonpath"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArgumentParser, "parse_args", lambda *_args: Namespace(**options, skip_checks=True))
        patch.setattr(type(load_command_class(get_commands()[name], name)), "handle", end)
        return commands.run(name, *argv)


@pytest.mark.parametrize("name", EVERY)
def test_every_command__help__its_own_before_djangos(name: str) -> None:
    shown = commands.run(name, "--help")
    own, _, djangos = shown.out.partition("Django's own options:")
    assert (shown.code, shown.err) == (0, "")
    assert own.index("usage:") < own.index("--quiet")
    for option in ("--settings", "--verbosity", "--traceback", "--skip-checks", "--pythonpath", "--no-color"):
        assert option not in own and option in djangos


@pytest.mark.parametrize("name", EVERY)
def test_every_command__whoever_read_is_gone__141_and_not_a_word(name: str) -> None:
    for argv in (["--help"], ["--no-such-option", "--format", "json"]):
        err = io.StringIO()
        assert (commands.run_into(Gone(), err, name, *argv), err.getvalue()) == (141, "")
    assert ending(name, BrokenPipeError()) == commands.Run(141, "", "")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("spelled", [["--format", "json"], ["--format=json"], ["--form", "json"]])
def test_every_command__arguments_wrong_where_json_is_asked_for__an_object(name: str, spelled: list[str]) -> None:
    run = commands.run(name, "--no-such-option", *spelled)
    error = run.json["error"]
    assert (run.code, error["kind"], error["exit_code"]) == (2, "misuse", 2)
    assert run.err.startswith("usage: manage.py ") and f"Misuse: {error['detail']}\n" in run.err


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (Failed("No."), "failed", 1),
        (Misuse("No."), "misuse", 2),
        (NotConfirmed("No."), "not_confirmed", 2),
        (CommandError("No."), "failed", 1),
        (DatabaseError("gone"), "failed", 1),
        (KeyboardInterrupt(), "interrupted", 130),
    ],
)
def test_every_command__fails_where_json_is_asked_for__an_object(
    name: str, error: BaseException, kind: str, code: int
) -> None:
    run = ending(name, error, "--format", "json")
    told = run.json["error"]
    assert (run.code, told["kind"], told["exit_code"]) == (code, kind, code)
    assert told["detail"] in run.err and "Traceback" not in run.err
    plain = ending(name, error)
    assert (plain.code, plain.out, plain.err) == (code, "", run.err)


@pytest.mark.parametrize("argv", [["explain", "--help"], ["explain", "x", "le_chat", "--format", "json"], ["help"]])
def test_program__pipe_is_closed__141_and_silent(argv: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "manage.py", *argv],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": "sqlite:///:memory:"}, check=False,
        stdout=writing, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writing)
    assert (run.returncode, run.stderr) == (141, "")


def test_program__interrupted__130_and_says_what_is_left(tmp_path: Path) -> None:
    """In the middle of a file that does not go on."""
    file = tmp_path / "state"
    os.mkfifo(file)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "import_state", str(file)],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": "sqlite:///:memory:"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with file.open("w"):  # as soon as it reads
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "Interrupted: Stopped. Nothing was changed.\n")


def test_program__stdout_closed__is_no_trouble() -> None:
    run = subprocess.run(
        ["bash", "-c", f"{sys.executable} manage.py explain --help >&-"],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": "sqlite:///:memory:"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")


def test_quiet__notes_and_progress__not_said_but_what_went_wrong() -> None:
    stream = io.StringIO()
    command = PortalCommand(stderr=stream)  # type: ignore[arg-type]
    command.quiet = True
    command.note("by the way")
    with Progress(command, 2000, "rows") as progress:
        progress.reach(2000)
    assert stream.getvalue() == ""
    command.note_problem("wrong")
    assert stream.getvalue() == "wrong\n"


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
