"""Write the log as files, as it is served."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Failed, counted, printable
from accounts.transactions import snapshot
from consent.log import checkpoints, keys, serving
from consent.log.store import Corrupt
from consent.management.base import ConsentCommand
from consent.models import LogCheckpoint


class Command(ConsentCommand):
    help = (
        "Write the log up to its newest checkpoint into a folder, in the paths in which it is served: checkpoint, "
        "tiles, bundles of entries; origins that have ended beside it. What is there already stays, so it can be run "
        "again and again for a web server or an auditor. The checkpoint is written last."
    )
    examples = """
  manage.py export_log /srv/log
"""
    refusals = (*ConsentCommand.refusals, Corrupt, keys.BadKey)
    done_so_far = "What was written stays; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", metavar="DIR", help="where to; made if it is not there")
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        target = Path(options["directory"])
        with snapshot():
            last = checkpoints.latest()
            if last is None:
                raise Failed("The log has no checkpoint yet. Nothing was written.")
            every = [found for number in range(1, last.origin_id + 1) if (found := checkpoints.latest(number))]
            # Of the first and only origin there is nothing beside: as long as it is, its tiles never change.
            beside = [(found, target / "log" / str(found.origin_id)) for found in every if last.origin_id > 1]
            written = sum(_write_origin(found, directory) for found, directory in beside)
            written += _write_tiles(last, target / "log")
            about = json.dumps(serving.about(), indent=2)
        _write(target / ".well-known" / "training-consent-log.json", about.encode())
        _write(target / "log" / "checkpoint", last.note.encode())
        text = f"The log up to position {last.size:,}: {counted(written, 'new file')}."
        self.result({"size": last.size, "written": written}, text, options)


def _write_origin(last: LogCheckpoint, directory: Path) -> int:
    written = _write_tiles(last, directory)
    _write(directory / "checkpoint", last.note.encode())
    return written


def _write_tiles(last: LogCheckpoint, directory: Path) -> int:
    """Write the tiles and entries that a checkpoint takes, where they are not there; returns how many."""
    written = 0
    # What is there without a number may be of an origin that has ended.
    may_differ = last.origin_id > 1 and directory.name == "log"
    for place in serving.places(last.size):
        path = directory / "tile" / place.path()
        if path.exists() and not may_differ:
            continue
        content = serving.content(place, last)
        if content is None:
            raise Corrupt(f"the log does not have {place.path()}")
        if not path.exists() or path.read_bytes() != content:
            _write(path, content)
            written += 1
    return written


def _write(path: Path, content: bytes) -> None:
    """The whole file or none: somebody may read the folder meanwhile."""
    beside = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise Failed(f"{printable(str(path))} can't be written ({error.strerror}). {Command.done_so_far}") from error
