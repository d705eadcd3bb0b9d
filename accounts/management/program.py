"""A command as a program among others: its exit code, its help, and how it fails.

Exit codes: 0 done, 1 failed or refused, 2 the command line is wrong or the change was not confirmed, 130 interrupted
(Ctrl-C), 141 whoever read the output is gone (`| head`), which is said to nobody. Where `--format json` is asked for, a
failure is an object on stdout, unless the result is there already.
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
# What a terminal obeys or turns around instead of showing it: control characters, bidirectional overrides.
_UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_KEPT = 100  # of the notes that the object of a failure repeats


class Failed(CommandError):
    """Not done, though the command line is right. Exit code 1."""

    kind = "failed"


class Misuse(CommandError):
    """Invalid usage of the command line. Exit code 2."""

    kind = "misuse"
    usage = ""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class NotConfirmed(Misuse):
    """Nobody said yes. Exit code 2."""

    kind = "not_confirmed"


class Interrupted(CommandError):
    """Ctrl-C. Exit code 130."""

    kind = "interrupted"

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=INTERRUPTED)


def printable(value: object) -> str:
    """On one line, with everything that a terminal would obey spelled out."""
    return escape(str(value)).replace("\n", "\\n")


def escape(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_json(data: object) -> str:
    return escape(json.dumps(data, indent=2, ensure_ascii=False))


class _HelpFormatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Examples keep their lines. Django's own options, which are the same for every command, are named after them."""

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
    # Whether stdout has the result, or has begun with it.
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
        except SystemExit as end:  # help was asked for, and given
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
        """Raises SystemExit where --help or --version was answered, and Misuse."""
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
        """Something for people, on stderr."""
        if not self.quiet:
            self.note_problem(message)

    def note_problem(self, message: str) -> None:
        """What went wrong, which is said to who wants it quiet too."""
        self._said.append(printable(message))
        self.stderr.write(printable(message), str)


def _wants_json(argv: Sequence[str]) -> bool:
    """Asked of the words, because what can't be parsed has no options; argparse takes a beginning of a name as well."""
    for word, following in pairwise([*argv[2:], ""]):
        name, equals, value = word.partition("=")
        if len(name) > 3 and "--format".startswith(name) and (value if equals else following) == "json":
            return True
    return False


def until_the_pipe_breaks(run: Callable[[], int]) -> int:
    """What `run` returns once all its output is out; 141 where nobody reads that any more."""
    # What the caller has closed (`>&-`) is None, and would be an error at each write.
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
    """Python writes what is left when it ends, and would complain."""
    with contextlib.suppress(OSError):  # streams of tests are no files
        for stream in (sys.stdout, sys.stderr):
            os.dup2(_nowhere().fileno(), stream.fileno())


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  open to the end of the process
