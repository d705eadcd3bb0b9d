"""Command-line conventions: exit codes, help, and error output.

Exit codes: 0 done; 1 failed or refused; 2 invalid command line, or the change was not confirmed; 130 interrupted
(Ctrl-C); 141 broken pipe (`| head`), without a message. With `--format json` a failure is a JSON object on stdout,
unless the result has been written there already.
"""

import contextlib
import io
import json
import os
import re
import sys
import textwrap
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TextIO

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
    SystemCheckError,
    handle_default_options,
)
from django.db import connections

INTERRUPTED, BROKEN_PIPE = 130, 141
# Characters that a terminal acts on instead of showing them: control characters, bidirectional overrides.
_UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_KEPT = 100  # notes at most that the JSON object of a failure repeats


class Failed(CommandError):
    """The command line is valid, but the command failed or was refused. Exit code 1."""

    kind = "failed"


class Misuse(CommandError):
    """Invalid command-line usage. Exit code 2."""

    kind = "misuse"
    usage = ""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class NotConfirmed(Misuse):
    """The change needed a confirmation and got none. Exit code 2."""

    kind = "not_confirmed"


class Interrupted(CommandError):
    """Ctrl-C. Exit code 130."""

    kind = "interrupted"

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=INTERRUPTED)


def printable(value: object) -> str:
    """The value as text on one line, with control characters escaped."""
    return escape(str(value)).replace("\n", "\\n")


def escape(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_json(data: object) -> str:
    return escape(json.dumps(data, indent=2, ensure_ascii=False))


# argparse calls these methods to format the help text.
class _HelpFormatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Keeps the line breaks of examples, and hides Django's own options: the epilog names them, without details."""

    def _ours(self, actions: Any) -> list[Any]:
        return [action for action in actions if not set(action.option_strings) & self.show_last]

    def add_usage(self, usage: Any, actions: Any, *args: Any, **kwargs: Any) -> None:
        super().add_usage(usage, self._ours(actions), *args, **kwargs)

    def add_arguments(self, actions: Any) -> None:
        super().add_arguments(self._ours(actions))


_DJANGOS = "Django's own options: " + ", ".join(sorted(DjangoHelpFormatter.show_last))


class ProgramCommand(BaseCommand):
    examples = ""
    quiet = False
    # Whether the result, or the start of it, has been written to stdout.
    answered = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._said: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        examples = f"examples:\n{self.examples.strip(chr(10))}\n\n" if self.examples else ""
        epilog = examples + textwrap.fill(_DJANGOS, 79)
        parser = super().create_parser(prog_name, subcommand, formatter_class=_HelpFormatter, epilog=epilog, **kwargs)
        parser.description = textwrap.fill(self.help, 79)
        self.add_quiet(parser, default=False)
        return parser

    def add_quiet(self, parser: CommandParser, **kwargs: Any) -> None:
        parser.add_argument(
            "-q", "--quiet", action="store_true", help="nothing on stderr but what went wrong", **kwargs
        )

    # --- From the command line to the exit code ---

    def run_from_argv(self, argv: list[str]) -> None:
        # A terminal whose encoding lacks a character must not make a command fail.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            code = self.run(argv)
        finally:
            with contextlib.suppress(ImproperlyConfigured):
                connections.close_all()
        if code:
            sys.exit(code)

    def run(self, argv: Sequence[str]) -> int:
        """Like `manage.py NAME ARGV…`, on this thread's connection; returns the exit code."""
        self._called_from_command_line = True
        return until_the_pipe_breaks(lambda: self._attempt(argv))

    def _attempt(self, argv: Sequence[str]) -> int:
        options = Namespace(traceback=False)
        try:
            options = self._parse(argv)
            handle_default_options(options)
            given = dict(vars(options))
            self.execute(*given.pop("args", ()), **given)
        except SystemExit as end:  # --help or --version was printed
            return int(end.code or 0)
        except KeyboardInterrupt:
            return self._fail(Interrupted("Stopped."), argv)
        except CommandError as error:
            if options.traceback:
                raise
            return self._fail(error, argv)
        except BrokenPipeError:
            raise
        except Exception as error:
            self._answer_failure("error", f"{type(error).__name__}: {error}", 1, argv)
            raise
        return 0

    def _parse(self, argv: Sequence[str]) -> Namespace:
        """The parsed options. Raises SystemExit after printing --help or --version, and Misuse for invalid usage."""
        # argparse prints and exits by itself: capture both, so that errors have the same form as all others.
        parser = self.create_parser(argv[0], argv[1])
        out, said = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
                return parser.parse_args(list(argv[2:]))
        except SystemExit as end:
            if not end.code:
                self.stdout.write(out.getvalue(), ending="")
                raise
            usage, _error, message = said.getvalue().rpartition(": error: ")
            error = Misuse(printable(message.strip()))
            error.usage = usage.rpartition("\n")[0]
            raise error from None

    def _fail(self, error: CommandError, argv: Sequence[str]) -> int:
        text = str(error)
        self._answer_failure(getattr(error, "kind", "failed"), text, error.returncode, argv)
        if usage := getattr(error, "usage", ""):
            self.stderr.write(usage, str)
        if isinstance(error, SystemCheckError):
            self.stderr.write(text, str)
        else:
            self.stderr.write(f"{type(error).__name__}: {text}")
        return error.returncode

    def _answer_failure(self, kind: str, detail: str, exit_code: int, argv: Sequence[str]) -> None:
        if not self.answered and _wants_json(argv):
            error = {"kind": kind, "detail": detail, "exit_code": exit_code, "notes": self._said[:_KEPT]}
            self.stdout.write(as_json({"error": error}))
            self.stdout.flush()

    # --- What is said on the way ---

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.quiet = bool(options.get("quiet")) or options.get("verbosity") == 0
        return super().execute(*args, **options)

    def note(self, message: str) -> None:
        """Write a message for people to stderr, unless `--quiet` was given."""
        if not self.quiet:
            self.note_problem(message)

    def note_problem(self, message: str) -> None:
        """Write a problem to stderr, even with `--quiet`."""
        self._said.append(printable(message))
        self.stderr.write(printable(message), str)


def _wants_json(argv: Sequence[str]) -> bool:
    """Whether `--format json` was given, in the raw arguments: after a parse error there are no options.

    Abbreviations like `--form` count, as argparse accepts them.
    """
    for word, following in pairwise([*argv[2:], ""]):
        name, equals, value = word.partition("=")
        if len(name) > 3 and "--format".startswith(name) and (value if equals else following) == "json":
            return True
    return False


def until_the_pipe_breaks(run: Callable[[], int]) -> int:
    """Call `run` and flush its output; returns its exit code, or 141 if the reader has closed the pipe."""
    # A stream that the caller closed (`>&-`) is None here, and each write would raise.
    sys.stdout, sys.stderr = (stream or _nowhere() for stream in (sys.stdout, sys.stderr))
    try:
        code = run()
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        _let_go()
        return BROKEN_PIPE
    return code


def _let_go() -> None:
    """Send stdout and stderr to nowhere: Python flushes them at exit, and would report the broken pipe."""
    with contextlib.suppress(OSError):  # the streams of tests have no descriptor
        for stream in (sys.stdout, sys.stderr):
            os.dup2(_nowhere().fileno(), stream.fileno())


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  stays open until the process ends
