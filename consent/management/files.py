"""What the commands that read a table from a file share: where it comes from, and how it is read."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accounts.management.base import PortalCommand
from consent.files.tables import Reading, TableFile, parse_separator


def add_reading(parser: Any) -> None:
    """Options for what can't be told from the file for certain; `parser` may be a group of one."""
    parser.add_argument(
        "--encoding", help="of the file, where it can't be told from its bytes: utf-16, cp1251, shift_jis, …"
    )
    parser.add_argument(
        "--separator", default="", metavar="CHARACTER",
        help="between the values of CSV: comma, semicolon, tab, pipe or the character; else header and rows tell",
    )  # fmt: skip


def reading(options: dict[str, Any]) -> Reading:
    """Raises BadFile."""
    return Reading(options["encoding"] or "", parse_separator(options["separator"]))


def tell_encoding(command: PortalCommand, file: TableFile) -> None:
    """Say so where it was guessed, and may be another."""
    if file.encoding.doubtful:
        what = "is not UTF-8" if file.encoding == "cp1252" else "does not say its encoding"
        command.note(f"The file {what}; it is read as {file.encoding.label} (--encoding names another).")


@contextmanager
def as_file(name: str) -> Iterator[str]:
    """A path; what comes by stdin, as `-`, is kept in a file meanwhile, for it is read more than once."""
    if name != "-":
        yield name
        return
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield copy.name
