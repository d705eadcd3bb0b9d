"""The command line of proofs: checks a receipt, and compares two checkpoints. Knows no Django."""

import argparse
import json
import sys
from pathlib import Path
from typing import TextIO

from . import consistency, leaf, note
from .errors import ProofError
from .note import Verifier
from .receipt import WORDS, Check, Receipt, check
from .record import INSTANTS, instant

REFUSED = 1  # the exit code for a receipt that does not hold
UNUSABLE = 2  # and for files and keys that can't be read
_MAX_FILE = 4_000_000  # bytes: characters of UTF-8 have up to four


def add_verify_receipt(parser: argparse.ArgumentParser, *, key_needed: bool = True) -> None:
    """The arguments of `verify-receipt`. `key_needed`: the log's key has to be given, for nobody else knows it."""
    parser.add_argument("file", metavar="FILE", help="the receipt: a .tlog-proof or .json; - reads stdin")
    add_vkey(parser, key_needed=key_needed)
    parser.add_argument("--format", choices=["text", "json"], default="text", help="of the result on stdout")


def add_verify_consistency(parser: argparse.ArgumentParser) -> None:
    """The arguments of `verify-consistency`."""
    parser.add_argument("old", metavar="OLD", help="the checkpoint that was kept: a file")
    parser.add_argument("new", metavar="NEW", help="a later one")
    parser.add_argument("--log", metavar="DIR", required=True, help="a copy of the log: the folder that has tile/")
    add_vkey(parser)
    parser.add_argument("--format", choices=["text", "json"], default="text", help="of the result on stdout")


def add_vkey(parser: argparse.ArgumentParser, *, key_needed: bool = True) -> None:
    parser.add_argument(
        "--vkey", metavar="KEY", action="append", required=key_needed,
        help="the public key of the log, name+hash+base64, or a file with one a line; may be repeated",
    )  # fmt: skip


def verifiers(given: list[str]) -> list[Verifier]:
    """The keys of `--vkey`: each a key, or a file with keys, one a line. Raises ProofError."""
    found: list[Verifier] = []
    for each in given:
        path = Path(each)
        text = path.read_text("utf-8") if len(each) < 1000 and _is_file(path) else each
        found += [Verifier.parse(line) for line in text.splitlines() if line.strip()]
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def verify_receipt(file: str, keys: list[Verifier], form: str, out: TextIO) -> int:
    """Check a receipt and say what it proves; returns the exit code. Raises ProofError, OSError if it can't be read."""
    with sys.stdin.buffer if file == "-" else Path(file).open("rb") as source:
        receipt = Receipt.parse(source.read(_MAX_FILE))
    checks = check(receipt, keys)
    holds = not any(each.problem for each in checks)
    print(
        _as_json(receipt, checks, holds=holds) if form == "json" else _as_text(receipt, checks, holds=holds), file=out
    )
    return 0 if holds else REFUSED


def _as_json(receipt: Receipt, checks: list[Check], *, holds: bool) -> str:
    said: dict[str, object] = {"holds": holds, "checks": [each._asdict() for each in checks]}
    if holds:
        origin, size, *_rest = note.text_of(receipt.checkpoint).split("\n")
        said |= {"event": leaf.fields(receipt.body), "words": receipt.words, "log": origin, "size": int(size)}
    return json.dumps(said, indent=2)


def _as_text(receipt: Receipt, checks: list[Check], *, holds: bool) -> str:
    lines = [printable(str(each)) for each in checks]
    if not holds:
        return "\n".join([*lines, "", "This receipt proves nothing."])
    origin, size, *_rest = note.text_of(receipt.checkpoint).split("\n")
    fields = {key: value for key, value in leaf.fields(receipt.body).items() if value not in {"", None}}
    fields |= receipt.words
    fields |= {key: instant(fields[key]) or fields[key] for key in INSTANTS if key in fields}
    hidden = [key for key in WORDS if key in fields and key not in receipt.words]
    fields |= dict.fromkeys(hidden, "(not in this receipt)")
    width = max(map(len, fields))
    lines += ["", f"This event is in the log {printable(origin)}, as its checkpoint of {size} events says:"]
    lines += [f"  {printable(key).ljust(width)}  {printable(_spelled(value))}" for key, value in fields.items()]
    return "\n".join(lines)


def verify_consistency(old: str, new: str, *, log: str, keys: list[Verifier], form: str, out: TextIO) -> int:
    """Compare two checkpoints and say what came of it; returns the exit code. Raises ProofError, OSError."""
    found = consistency.compare(_note(old), _note(new), Path(log), keys)
    holds = not any(each.problem for each in found.checks)
    if form == "json":
        said: dict[str, object] = {"holds": holds, "checks": [each._asdict() for each in found.checks]}
        if holds:
            said |= {"log": found.new.origin, "old": found.old.size, "new": found.new.size}
        print(json.dumps(said, indent=2), file=out)
    else:
        end = (
            "That does not hold. If both checkpoints are signed and the tiles are the log's own, it was made anew: "
            "keep both checkpoints."
        )
        if holds:
            end = (
                f"All {found.old.size} events that the older one had in the log {found.new.origin} are unchanged among "
                f"the {found.new.size} of the newer one."
            )
        print("\n".join(map(printable, [*map(str, found.checks), "", end])), file=out)
    return 0 if holds else REFUSED


def _note(file: str) -> str:
    with Path(file).open("rb") as source:
        return source.read(_MAX_FILE).decode()


def _spelled(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def printable(text: str) -> str:
    """The text without characters that would do something to a terminal."""
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def main(arguments: list[str] | None = None) -> int:
    """`python -m consent.proofs …`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m consent.proofs", description="Check what the log of the ledger proves.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_verify_receipt(commands.add_parser("verify-receipt", help="check that an event is in the log, by its receipt"))
    add_verify_consistency(
        commands.add_parser("verify-consistency", help="compare two checkpoints: that nothing was rewritten between")
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "verify-consistency":
            given = {"log": options.log, "keys": verifiers(options.vkey), "form": options.format}
            return verify_consistency(options.old, options.new, **given, out=sys.stdout)
        return verify_receipt(options.file, verifiers(options.vkey), options.format, sys.stdout)
    except (ProofError, OSError, UnicodeDecodeError) as error:
        print(f"{parser.prog} {options.command}: {printable(str(error))}", file=sys.stderr)
        return UNUSABLE
