"""Options and helpers of the commands that read a table from a file or from stdin."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accounts.management.base import PortalCommand
from consent.files.tables import Reading, TableFile, parse_separator


def add_reading(parser: Any) -> None:
    """Add --encoding and --separator, which can't always be detected; `parser` may be an argument group."""
    parser.add_argument(
        "--encoding", help="of the file, where it can't be told from its bytes: utf-16, cp1251, shift_jis, …"
    )
    parser.add_argument(
        "--separator", default="", metavar="CHARACTER",
        help="between the values of CSV: comma, semicolon, tab, pipe or the character; else header and rows tell",
    )  # fmt: skip


def reading(options: dict[str, Any]) -> Reading:
    """How to read the file, from the options. Raises BadFile for an invalid separator."""
    return Reading(options["encoding"] or "", parse_separator(options["separator"]))


def tell_encoding(command: PortalCommand, file: TableFile) -> None:
    """Print a note if the file's encoding was only guessed."""
    if file.encoding.doubtful:
        what = "is not UTF-8" if file.encoding == "cp1252" else "does not say its encoding"
        command.note(f"The file {what}; it is read as {file.encoding.label} (--encoding names another).")


@contextmanager
def as_file(name: str) -> Iterator[str]:
    """A path to the data. stdin (`-`) is copied to a temporary file, because the data is read more than once."""
    if name != "-":
        yield name
        return
    # NamedTemporaryFile has mode 0600, and is deleted at the end of the block.
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield copy.name
