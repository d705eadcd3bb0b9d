"""Base class of the portal's commands: one-line errors, results on stdout, everything else on stderr."""

import datetime as dt
import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import django.db
from django.core.management.base import CommandParser
from tqdm import tqdm

from ..access import Actor, Forbidden, NotFound, Permission, get_organization
from ..models import Organization, User
from .program import Failed, Interrupted, Misuse, NotConfirmed, ProgramCommand, as_json, printable

__all__ = [
    "Failed",
    "Misuse",
    "NotConfirmed",
    "PortalCommand",
    "Progress",
    "counted",
    "parse_instant",
    "printable",
    "table",
]


def table(rows: Sequence[Sequence[object]], header: Sequence[str] = ()) -> str:
    """Left-aligned columns, two spaces apart."""
    cells = [[printable("–" if cell is None or cell == "" else cell) for cell in row] for row in [header, *rows] if row]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))] if cells else []
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def parse_instant(option: str, text: str) -> dt.datetime:
    """The instant of an RFC 3339 text, in UTC. Raises Misuse; also for a text without a time zone (R7)."""
    try:
        instant = dt.datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise Misuse(f"{option}: “{printable(text)}” has no time zone. Write it like 2027-03-01T12:00:00Z.")
        return instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise Misuse(f"{option}: “{printable(text)}” is not an instant like 2027-03-01T12:00:00Z.") from None


class PortalCommand(ProgramCommand):
    # Exceptions that mean the service refused; `say` makes the message of one.
    refusals: ClassVar[tuple[type[Exception], ...]] = ()
    # Ends every error message: what a failed or interrupted run has changed.
    done_so_far = "Nothing was changed."

    def execute(self, *args: Any, **options: Any) -> str | None:
        # Turn every expected exception into one line with an exit code; a traceback means a defect.
        try:
            # Arguments that are not valid UTF-8 contain lone surrogates: `encode` raises for those.
            for value in options.values():
                if isinstance(value, str) and not os.path.lexists(value):  # file names may be any bytes
                    value.encode()
            return super().execute(*args, **options)
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped. {self.done_so_far}") from None
        except Forbidden as error:
            raise Failed(f"This is not allowed here ({error}). {self.done_so_far}") from error
        except NotFound as error:
            raise Failed(f"There is no such {error}. {self.done_so_far}") from error
        except django.db.Error as error:
            first_line = str(error).strip().partition("\n")[0]
            raise Failed(f"The database said: {printable(first_line)}. {self.done_so_far}") from error
        except UnicodeEncodeError as error:
            raise Misuse(f"An argument is not valid text: “{printable(error.object)}”. {self.done_so_far}") from error
        except self.refusals as error:
            raise Failed(f"{printable(self.say(error))} {self.done_so_far}") from error

    def say(self, refusal: Exception) -> str:
        return str(refusal)

    # --- Arguments ---

    def add_actor(self, parser: CommandParser) -> None:
        parser.add_argument("--actor", metavar="EMAIL", required=True, help="the operator in whose name this is done")

    def add_format(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=["table", "json"], default="table", help="of the result on stdout")

    def add_plain(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--plain", action="store_true", help="CSV for programs: no byte-order mark, whatever it is written into"
        )

    def for_spreadsheets(self, options: Mapping[str, Any]) -> bool:
        """Whether to write CSV for spreadsheets: if stdout is a file, which people open; programs read pipes."""
        try:
            kept = stat.S_ISREG(os.fstat(self.stdout.fileno()).st_mode)
        except (OSError, AttributeError):
            kept = False
        return kept and not options["plain"]

    def actor(self, email: str) -> Actor:
        """The actor of the active operator with this address. Raises Misuse."""
        user = User.objects.filter(email=email, is_active=True, is_staff=True).first()
        if user is None:
            raise Misuse(f"--actor: there is no active operator “{printable(email)}”.")
        return Actor.from_command(user)

    def organization(self, ident: str, actor: Actor, permission: Permission) -> Organization:
        """The organization with this id or `external:` id. Raises Failed, or Forbidden."""
        try:
            return get_organization(actor, ident, permission)
        except NotFound:
            raise Failed(f"There is no organization “{printable(ident)}”. {self.done_so_far}") from None

    # --- Output ---

    def result(self, data: Mapping[str, object], text: str, options: Mapping[str, Any]) -> None:
        """Write the result, the only output on stdout: `data` as JSON or `text`, as `--format` says."""
        if options["format"] == "json":
            text = as_json(data)
        self.answered = True
        self.stdout.write(text)

    def progress(self, total: int | None, unit: str, start: int = 0, *, tell_end: bool = True) -> "Progress":
        return Progress(self, total, unit, start, tell_end=tell_end)


class Progress:
    """Progress on stderr: a bar on a terminal; elsewhere a line every 2 s at most, and one at the end."""

    def __init__(
        self, command: PortalCommand, total: int | None, unit: str, start: int = 0, *, tell_end: bool = True
    ) -> None:
        """`start`: how many were done by an earlier run; `tell_end`: print a last line even after a very short run."""
        self._tell_end = tell_end
        self._command, self._total, self._unit = command, total, unit
        self._bar: Any = None
        if command.stderr.isatty() and not command.quiet:
            columns = shutil.get_terminal_size().columns
            self._bar = tqdm(total=total, initial=start, unit=f" {unit}", file=sys.stderr, ncols=columns)
        self._done = self._said = start
        self._more = ""
        self._said_at = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is not None and issubclass(kind, BrokenPipeError):
            return
        elif self._tell_end and self._done != self._said:
            self._say()

    def reach(self, done: int, more: str = "") -> None:
        """Set how many are done; `more` is added to the plain line, where no bar is shown."""
        step, self._done, self._more = done - self._done, done, more
        if self._bar is not None:
            self._bar.update(step)
        elif time.monotonic() - self._said_at >= 2:
            self._say()

    def _say(self) -> None:
        self._said, self._said_at = self._done, time.monotonic()
        of_total = f" of {self._total:,}" if self._total is not None else ""
        more = f", {self._more}" if self._more else ""
        if not self._command.quiet:
            self._command.stderr.write(f"{self._done:,}{of_total} {printable(self._unit)}{printable(more)}", str)
