"""The log's tree: whatever its size and however it was appended, its hashes are those of RFC 6962 over its entries."""

import itertools
import random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import Actor
from consent.log import appending, checkpoints, receipts, store
from consent.log.store import Corrupt
from consent.models import ConsentEvent, EventPosition, EventSalt, LogCheckpoint, LogTile
from consent.proofs import tree
from consent.services import log_salts
from tests.support.factories import ActorFactory
from tests.support.ledger_guards import behind_the_guards, sql
from tests.support.log import add_events, kept, step


def plain_root(leaves: list[bytes]) -> bytes:
    """As RFC 6962 defines it, without any store."""
    if not leaves:
        return tree.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return tree.node_hash(plain_root(leaves[:middle]), plain_root(leaves[middle:]))


def leaves() -> list[bytes]:
    every = EventSalt.objects.count()
    return [tree.leaf_hash(each.entry) for each in store.read(0, every)]


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 513])
def test_root__by_size__is_that_of_all_entries(db: None, count: int) -> None:
    add_events(count)
    with kept():
        step()
    assert store.size() == count
    assert store.root(count) == plain_root(leaves())
    assert LogTile.objects.count() == count // 256


def test_root__appended_in_any_batches__at_every_size_that_of_the_entries(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = random.Random(7)  # noqa: S311  the same every time
    with kept():
        for _round in range(12):
            add_events(sizes.choice([1, 5, 90, 255, 256, 257]))
            monkeypatch.setattr(appending, "BATCH", sizes.choice([1_000, 97, 256]))
            step()
    every = leaves()
    stored = store.Tree()
    for size in [*range(1, 40), *range(len(every) - 40, len(every) + 1), 256, 511, 512, 513]:
        assert tree.root(stored.read, size) == plain_root(every[:size])


def test_tiles__levels_above__hold_the_roots_below(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # 65,537 leaves would take a minute: the edge of the tree alone, with leaves that are no events.
    edge = appending.Edge(0)
    every = [tree.leaf_hash(bytes([n % 251])) for n in range(65_537)]
    tiles = list(itertools.chain.from_iterable(edge.add(every[at : at + 5_000]) for at in range(0, 65_537, 5_000)))
    assert [tile[:2] for tile in tiles if tile[0]] == [(1, 0)]
    assert sum(tile[0] == 0 for tile in tiles) == 256
    (top,) = [tile for tile in tiles if tile[0] == 1]
    assert top[2] == b"".join(tile[3] for tile in tiles if tile[0] == 0)
    assert top[3] == plain_root(every[:65_536])
    LogTile.objects.bulk_create(LogTile(level=t[0], index=t[1], hashes=t[2], root=t[3]) for t in tiles)
    assert tree.root(store.Tree().read, 65_536) == plain_root(every[:65_536])
    assert tree.root(store.Tree().read, 65_280 + 128) == plain_root(every[: 65_280 + 128])
    for size in (255, 256, 257, 65_535):
        proof = tree.inclusion(store.Tree().read, 17, size // 256 * 256 or 1) if size >= 256 else []
        if proof:
            tree.verify_inclusion(every[17], 17, size // 256 * 256, proof, plain_root(every[: size // 256 * 256]))


def remembered(size: int) -> list[bytes]:
    return tree.inclusion(store.Tree(remembers=True).read, 3, size)


def afresh(size: int) -> list[bytes]:
    return tree.inclusion(store.Tree().read, 3, size)


@pytest.mark.parametrize("erased", [None, 257, 280])
def test_proof__of_what_is_remembered__the_same_and_reads_no_event_twice(db: None, erased: int | None) -> None:
    add_events(290)
    with kept():
        step()
        if erased:
            log_salts.erase_salt(position=erased, reason="Asked for", actor=ActorFactory(of_commands=True))
        for more in (0, 7):
            add_events(more)
            step()
            size = store.size()
            for at in (size, size - 1, 257, 256):
                assert remembered(at) == afresh(at)
            with CaptureQueriesContext(connection) as asked:
                remembered(size)
            # An erased salt tells nothing of the event, so that it is read again, and what follows it.
            assert any("consent_consentevent" in each["sql"] for each in asked) == bool(erased)


def test_proof__of_what_is_remembered__hides_no_alteration(db: None) -> None:
    add_events(290)
    with kept():
        step()
    size = store.size()
    proof, root = remembered(size), store.root(size)
    with behind_the_guards():
        sql("UPDATE consent_consentevent SET target = 'x' WHERE id = %s", [_event_at(280)])
    assert store.root(size) != root, "who looks for alterations reads the event"
    assert remembered(size) == proof, "the receipt is that of the signed root"
    with behind_the_guards():
        sql("UPDATE consent_eventsalt SET salt = %s WHERE position = 270", [b"7" * 32])
    assert remembered(size) == afresh(size) != proof, "what a restore has put there is another event, with its own salt"


def test_receipt__event_beside_it_was_altered_and_is_put_right__holds_again(db: None) -> None:
    add_events(290)
    with kept():
        step()
        event, other = (ConsentEvent.objects.get(pk=_event_at(position)) for position in (285, 280))
        set_target = "UPDATE consent_consentevent SET target = %s WHERE id = %s"
        with behind_the_guards():
            sql(set_target, ["x", other.pk])
        with pytest.raises(receipts.Inconsistent):
            receipts.receipt_of(event, Actor.system())
        with behind_the_guards():
            sql(set_target, [other.target, other.pk])
        receipts.receipt_of(event, Actor.system())


def _event_at(position: int) -> int:
    return EventPosition.objects.get(position=position).event_id


def test_step__no_key__keeps_no_log(db: None) -> None:
    add_events(3)
    step()
    assert not EventSalt.objects.exists()
    assert checkpoints.standing().state == "off"


def test_step__twice__adds_nothing_the_second_time(db: None) -> None:
    add_events(300)
    with kept():
        step()
        before = list(EventSalt.objects.values()), list(LogTile.objects.values()), list(LogCheckpoint.objects.values())
        step()
    assert before == (
        list(EventSalt.objects.values()), list(LogTile.objects.values()), list(LogCheckpoint.objects.values())
    )  # fmt: skip


def test_append__salts_at_the_end_removed__corrupt_and_nothing_is_added(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    add_events(300)
    with kept():
        step()
        with behind_the_guards():
            sql("DELETE FROM consent_eventsalt WHERE position > 200")
        before = list(EventSalt.objects.values_list())
        with pytest.raises(Corrupt, match="tiles on level 0 up to number 0"):
            appending.Appender().append()
        assert list(EventSalt.objects.values_list()) == before
        assert checkpoints.standing().state == "corrupt"
        assert not checkpoints.Step()()
    assert "the log is not as it was written" in caplog.text


def test_append__event_without_its_row__corrupt(db: None) -> None:
    add_events(5)
    with kept():
        with behind_the_guards():
            sql("DELETE FROM consent_consentevent WHERE id = (SELECT MAX(id) - 1 FROM consent_consentevent)")
        with pytest.raises(Corrupt, match="gapless"):
            appending.Appender().append()
    assert not EventSalt.objects.exists()
    assert (ConsentEvent.objects.count(), EventPosition.objects.count()) == (4, 5)
