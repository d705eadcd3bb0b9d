"""The command line of the pipeline: its options, and what each of its commands does. Knows no Django."""

import argparse
import datetime as dt
import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import dsse, run_manifest, verifying
from .errors import PipelineError
from .manifest import Manifest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from .report import FilterReport
    from .snapshot import Snapshot
    from .stores import Places

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
EXAMPLES = """
  {program} data/*.parquet --snapshot /srv/consent/position-0000000000001234567 \\
      --verify-key key.pem --columns organization=acct,member=usr,product=@le_chat,data_kind=kind,collected_at=ts \\
      --allowed allowed --denied denied --report report.json
  {program} chats.jsonl.gz --snapshot … --verify-key key.pem --ids external --allowed allowed.jsonl.gz
"""


def add_filter(parser: argparse.ArgumentParser, *, key_needed: bool = True) -> None:
    """The options of `filter`. `key_needed`: the manifest's key has to be given, for nobody else knows it."""
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="files, folders or globs: Parquet, JSON Lines or CSV"
    )
    parser.add_argument("--snapshot", metavar="DIR", required=True, help="the folder position-… of a snapshot")
    parser.add_argument(
        "--verify-key", metavar="KEY", required=key_needed, help="the public key of its manifest: a file, or Base64"
    )
    parser.add_argument(
        "--allowed", metavar="OUT", required=True,
        help="where records go that may be used: a new file, if its name ends like one, else a new folder",
    )  # fmt: skip
    parser.add_argument("--denied", metavar="OUT", help="where to say which records may not be used, and why")
    parser.add_argument("--report", metavar="FILE", help="what came of it, as JSON, to register a training run with")
    parser.add_argument(
        "--columns", action="append", metavar="FIELD=COLUMN,…",
        help="where organization, member, product, data_kind, collected_at and id are, if not in columns of these "
        "names; @VALUE is the same for all, and member=@ means that records name no member; external:COLUMN and "
        "uuid:COLUMN say which ids it has",
    )  # fmt: skip
    parser.add_argument("--ids", choices=["uuid", "external"], default="uuid", help="ids in columns that don't say it")
    parser.add_argument("--assume-utc", action="store_true", help="take instants without a time zone for UTC")
    parser.add_argument(
        "--filesystem", metavar="NAME",
        help="the store of paths like s3://bucket/folder, as fsspec calls it: s3, gs, abfs; needs fsspec and its "
        "package for that",
    )  # fmt: skip
    parser.add_argument("--memory", metavar="SIZE", default="1GB", help="for joining; default 1GB")
    parser.add_argument("--threads", type=int, metavar="N", help="default: one a core")
    parser.add_argument(
        "--max-age", type=age, metavar="AGE", default=dt.timedelta(hours=24),
        help="how old the snapshot may be, like 90m or 7d; default 24h; none: whatever it is",
    )  # fmt: skip
    parser.add_argument(
        "--max-unknown",
        type=share,
        metavar="SHARE",
        default=0.01,
        help="of ids, before the exit code is 3; default 1%%",
    )
    parser.add_argument(
        "--reasons", choices=["private", "full"], default="private",
        help="private: what members chose, and that they left, is told as member_private",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with a run that did not end")
    _add_ecosystem(parser)


def _add_ecosystem(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--croissant", metavar="FILE", help="a Croissant description of what is allowed, in a folder above or beside it"
    )
    parser.add_argument(
        "--openlineage", metavar="FILE|URL",
        help="where to tell of the run by OpenLineage events: a file that they are added to, or the address of a "
        "server, with OPENLINEAGE_API_KEY if it wants a key; needs openlineage-python",
    )  # fmt: skip
    parser.add_argument(
        "--openlineage-job", metavar="NAME", default="filter",
        help="the job that this run is one of, in OPENLINEAGE_NAMESPACE or training-consent; default: filter",
    )  # fmt: skip


def position_of(snapshot: str, verify_key: "str | Ed25519PublicKey") -> int:
    """The position of a snapshot, as its manifest says. Raises PipelineError."""
    return Manifest.read(Path(snapshot), dsse.verify_key(verify_key)).position


def add_verify(parser: argparse.ArgumentParser) -> None:
    """The options of `verify`."""
    parser.add_argument("manifest", metavar="MANIFEST", help="of a training run, as the portal gives it")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files, or folders of them")
    parser.add_argument(
        "--verify-key", metavar="KEY", required=True, help="the public key of the manifest: a file, or Base64"
    )
    parser.add_argument("--removals", metavar="FILE", default=(), help="the run's removals, as the API lists them")
    parser.add_argument("--max-age", type=age, metavar="AGE", help="how old its snapshots may be, like 90m or 7d")
    add_vkey(parser)


def add_verify_manifest(parser: argparse.ArgumentParser, *, key_needed: bool = True) -> None:
    """The options of `verify-manifest`. `key_needed`: the manifest's key has to be given, for nobody else knows it."""
    parser.add_argument("manifest", metavar="MANIFEST", help="of a training run, as the portal gives it")
    parser.add_argument(
        "--verify-key", metavar="KEY", required=key_needed, help="the public key of the manifest: a file, or Base64"
    )
    add_vkey(parser)
    parser.add_argument("--format", choices=["text", "json"], default="text", help="of the result on stdout")


def add_vkey(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vkey", metavar="KEY", action="append", default=[],
        help="the public key of the log, name+hash+base64, or a file with one a line, to check the checkpoint that the "
        "manifest carries; may be repeated",
    )  # fmt: skip


def verify_files(options: argparse.Namespace) -> str:
    """Run `verify`; returns what to say. Raises PipelineError."""
    from .gate import check

    found = check(
        options.manifest,
        options.paths,
        verify_key=options.verify_key,
        removals=options.removals,
        max_age=options.max_age,
        vkey=options.vkey,
    )
    return f"{len(found):,} {'file is' if len(found) == 1 else 'files are'} as the manifest says, and may be used."


def filter_files(options: argparse.Namespace, verify_key: "str | Ed25519PublicKey") -> "FilterReport":
    """Run `filter`. Raises PipelineError."""
    # Imported here: without the packages of requirements/pipeline.txt it raises PipelineError.
    from . import columns
    from .filtering import Options, filter_at
    from .snapshot import Snapshot
    from .stores import places

    if "://" in options.snapshot:
        raise PipelineError(f"{options.snapshot} is not on this machine: a snapshot is a local folder.")
    snapshot = Snapshot.open(options.snapshot, verify_key, options.max_age)
    wanted = columns.parse(options.columns, options.ids)
    told = Options(
        memory=options.memory,
        threads=options.threads,
        assume_utc=options.assume_utc,
        max_unknown=options.max_unknown,
        full_reasons=options.reasons == "full",
        resume=options.resume,
    )
    targets = {what: getattr(options, what) for what in ("allowed", "denied", "report", "croissant")}
    with places(options.filesystem, options.inputs, targets, resume=options.resume) as at:
        progress = _progress if sys.stderr.isatty() else None
        run = functools.partial(filter_at, at, snapshot, wanted, told, progress)
        return run() if options.openlineage is None else _told(run, snapshot, at, options)


def _told(
    run: "Callable[[], FilterReport]", snapshot: "Snapshot", at: "Places", options: argparse.Namespace
) -> "FilterReport":
    """Run the filter, and tell a lineage graph. Raises PipelineError, also if the library for that is not there."""
    from .lineage import told

    with at.named():
        return told(run, to=options.openlineage, job=options.openlineage_job, snapshot=snapshot, at=at)


def _progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done:,} of {total:,} files", end=end, file=sys.stderr, flush=True)


def age(text: str) -> dt.timedelta | None:
    """A time like 90m, 24h or 7d; None for “none”. Raises ArgumentTypeError."""
    if text == "none":
        return None
    found = re.fullmatch(r"(\d+)([smhd])", text)
    try:
        if found:
            return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:  # more than 2.7 million years
        pass
    raise argparse.ArgumentTypeError(f"“{text}” is not an age like 90m, 24h or 7d")


def share(text: str) -> float:
    """A share like 1% or 0.01. Raises ArgumentTypeError."""
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = -1
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"“{text}” is not a share like 1% or 0.01")
    return found


def main(arguments: list[str] | None = None) -> int:
    """`python -m consent.pipeline …`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m consent.pipeline", description="Take consent to training data.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_filter(
        commands.add_parser(
            "filter",
            help="split records into those that may be used for training and those that may not",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="examples:" + EXAMPLES.format(program="python -m consent.pipeline filter"),
        )
    )
    add_verify(commands.add_parser("verify", help="check that files are those of a training run, and may be used"))
    add_verify_manifest(
        commands.add_parser("verify-manifest", help="check the manifest of a training run, and its checkpoint")
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "verify-manifest":
            verdict = verifying.verify(options.manifest, options.verify_key, run_manifest.log_keys(options.vkey))
            print(verdict.shown(options.format))
            return verdict.exit_code
        if options.command == "verify":
            print(verify_files(options))
            return 0
        report = filter_files(options, options.verify_key)
        print(report.text())
        for warning in report.warnings:
            print(f"{parser.prog} {options.command}: {warning}", file=sys.stderr)
        return report.exit_code
    except PipelineError as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
