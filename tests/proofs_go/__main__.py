"""Makes two logs, and writes them to standard output as JSON, for main.go to check.

The first is kept by the portal, in a fresh SQLite database, under a key by `make_log_key`: its notes and receipts are
those that the portal gives out. The second, larger one is made by consent/proofs alone.
"""

import contextlib
import io
import json
import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

import django

from consent.proofs import leaf, note, tree
from consent.proofs.encoding import encode
from consent.proofs.note import Checkpoint, Signer
from consent.proofs.receipt import Receipt

SIZES = (1, 2, 3, 4, 7, 255, 256, 257)  # the history of `tests.support.log` comes after these
END = 1_000
LARGE = (1, 2, 3, 255, 256, 257, 1_000, 65_535, 65_536, 65_537)
LOG_ORIGIN = "portal.example/log"


def places(size: int) -> list[int]:
    """Leaves of a tree of this size: at its ends, in its middle, and beside the ends of full tiles."""
    return sorted({n for n in (0, 1, 2, 254, 255, 256, size // 2 - 1, size // 2, size - 2, size - 1) if 0 <= n < size})


def consistency(read: tree.Read, sizes: list[int]) -> list[dict[str, Any]]:
    """The proofs between all pairs of these sizes; main.go finds the checkpoints by size."""
    return [
        {"old": old, "new": new, "proof": [encode(each) for each in tree.consistency(read, old, new)]}
        for new in sizes
        for old in sizes
        if old <= new
    ]


def of_the_portal() -> dict[str, Any]:
    """A log of 1,000 events, with a checkpoint at each of the sizes and receipts under each."""
    from django.core.management import call_command
    from django.test import override_settings

    from accounts.access import Actor
    from consent import ledger
    from consent.log import checkpoints, receipts, store
    from consent.models import ConsentEvent
    from tests.support import log

    call_command("migrate", verbosity=0)
    printed = io.StringIO()
    call_command("make_log_key", stdout=printed)
    key, verifier = (line.partition("=")[2] for line in printed.getvalue().splitlines())
    notes, texts = [], []

    def look(indexes: list[int]) -> None:
        log.step()
        last = checkpoints.latest()
        assert last is not None and last.size == ledger.head()
        notes.append((last.size, last.note))
        for index in indexes:
            event = ConsentEvent.objects.get(placed__position=index + 1)
            texts.append(receipts.receipt_of(event, Actor.system()).receipt.text())

    with override_settings(**log.SETTINGS | {"LOG_SIGNING_KEY": key, "LOG_ORIGIN": LOG_ORIGIN}):
        for size in SIZES:
            log.add_events(size - ledger.head())
            look(places(size))
        log.make_history()
        look(list(range(SIZES[-1], ledger.head())))
        log.add_events(END - ledger.head())
        look(places(END))
        proofs = consistency(store.Tree().read, [size for size, _ in notes])
    return {"vkey": verifier, "checkpoints": [text for _, text in notes], "receipts": texts, "consistency": proofs}


def large() -> dict[str, Any]:
    """A log of 65,537 leaves, without a database."""
    signer = Signer.generate("large.example/log")
    salts = [secrets.token_bytes(leaf.SALT) for _ in range(LARGE[-1])]
    bodies = [leaf.body({"position": str(n + 1)}) for n in range(LARGE[-1])]
    levels = [[tree.leaf_hash(leaf.entry(*each)) for each in zip(salts, bodies, strict=True)]]
    while len(below := levels[-1]) > 1:
        levels.append([tree.node_hash(below[n], below[n + 1]) for n in range(0, len(below) - 1, 2)])

    def read(level: int, index: int) -> bytes:
        return levels[level][index]

    notes = {size: note.sign(Checkpoint(signer.name, size, tree.root(read, size)).text(), signer) for size in LARGE}
    texts = [
        Receipt(
            body=bodies[index],
            salt=salts[index],
            index=index,
            proof=tuple(tree.inclusion(read, index, size)),
            checkpoint=notes[size],
        ).text()
        for size in LARGE[-3:]
        for index in places(size)
    ]
    proofs = consistency(read, list(LARGE))
    return {"vkey": str(signer.verifier), "checkpoints": [*notes.values()], "receipts": texts, "consistency": proofs}


with tempfile.TemporaryDirectory(prefix="proofs-") as folder:
    for name in ("SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS", "WEBHOOK_KEYS"):
        os.environ[name] = secrets.token_urlsafe(48)
    os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "ENV_FILE": os.devnull, "LOG_ORIGIN": LOG_ORIGIN}
    os.environ["DATABASE_URL"] = f"sqlite:///{Path(folder) / 'portal.sqlite3'}"
    django.setup()
    with contextlib.redirect_stdout(sys.stderr):
        logs = [of_the_portal(), large()]
json.dump(logs, sys.stdout)
