"""Witness files: written whole or not at all, repaired after a crash, never read wrongly."""

import dataclasses
import json
import multiprocessing
import os
import resource
import stat
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from consent.proofs import witness, witness_files
from consent.proofs.errors import ProofError
from consent.proofs.witness import START, Change, Line, LogHead, Unreadable, chained, event_text
from consent.proofs.witness_files import Damaged, Unwritable, Witness

ID = "0198f0c4-0000-7000-8000-000000000001"


def change(position: int, **given: Any) -> Change:
    fields = {"kind": "choice.opted_out", "organization": ID, "member": "", "product": "le_chat", "allowed": False}
    return Change(position=position, **(fields | given))


def lines(number: int, of: int = 3, **given: Any) -> list[Line]:
    """So many lines that follow each other, each about `of` events."""
    found, previous = [], START
    for n in range(number):
        after, position = n * of, (n + 1) * of
        changes = tuple(change(after + k + 1) for k in range(of))
        after_it = chained(previous, [event_text({"position": each.position}) for each in changes])
        fields: dict[str, Any] = {
            "installation": ID,
            "epoch": 1,
            "recorded_at": 1_000 * n,
            "events": position,
            "written_at": 1_000_000 * n,
        }
        found.append(
            Line(**fields | given, after=after, position=position, previous=previous, hash=after_it, changes=changes)
        )
        previous = after_it
    return found


def filled(path: Path, number: int = 5) -> list[Line]:
    made = lines(number)
    with Witness((path,)).held() as held:
        assert held.append(made) == []
    return made


texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(0, 2**63)


@given(
    st.builds(
        Line,
        installation=texts,
        epoch=numbers,
        after=numbers,
        position=numbers,
        previous=texts,
        hash=texts,
        recorded_at=numbers,
        events=numbers,
        written_at=numbers,
        changes=st.lists(
            st.builds(Change, numbers, texts, texts, texts, st.none() | texts, st.booleans()), max_size=3
        ).map(tuple),
        log=st.none() | st.builds(LogHead, numbers, texts),
        restored_to=st.none() | numbers,
    )
)
def test_line__any__is_one_line_of_json_and_reads_back(line: Line) -> None:
    text = line.text()

    assert "\n" not in text and text.isascii()
    assert json.loads(text)["position"] == line.position
    assert Line.parse(text) == line


def test_line__any_character_altered__is_refused() -> None:
    text = lines(1)[0].text()
    for n, letter in enumerate(text):
        other = text[:n] + ("x" if letter != "x" else "y") + text[n + 1 :]
        with pytest.raises(ProofError):
            Line.parse(other)


def test_line__of_a_later_version__is_no_torn_line() -> None:
    body = lines(1)[0].text().replace('{"v":1', '{"v":2')
    body = body[: body.rindex(',"sum"')] + "}"

    with pytest.raises(ProofError, match="version 1") as refused:
        Line.parse(f'{body[:-1]},"sum":"{witness._sum(body)}"}}')
    assert not isinstance(refused.value, Unreadable)


def test_chained__in_pieces__is_the_same_hash() -> None:
    events = [event_text({"position": n, "kind": "é"}) for n in range(10)]

    assert chained(chained(START, events[:4]), events[4:]) == chained(START, events)
    assert chained(START, events[:9]) != chained(START, events)
    assert chained(START, [*events[:4], events[5], events[4], *events[6:]]) != chained(START, events)


def test_event_text__a_column_added_later__is_the_same_as_long_as_it_is_empty() -> None:
    assert event_text({"a": 1, "b": "", "c": None, "d": False}) == event_text({"a": 1})
    assert event_text({"a": 0}) != event_text({})


def test_append__new_file__is_private_and_read_back_by_position(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    made = filled(path)

    files = Witness((path,))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files.last() == made[-1]
    assert list(files.lines()) == made
    assert list(files.lines(7)) == made[2:]
    assert [each.position for each in files.changes(7)] == list(range(8, 16))


def test_append__file_that_others_can_read__becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    path.touch(0o644)
    path.chmod(0o644)
    filled(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_last__any_torn_end__is_the_line_before_and_appending_repairs_it(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    made = filled(path, 3)
    whole = path.read_bytes()
    begin = len(whole) - len(made[-1].text()) - 1
    for length in [*range(begin, len(whole), 23), len(whole) - 1]:
        path.write_bytes(whole[:length])
        files = Witness((path,))
        assert files.last() == made[1], length
        assert list(files.lines()) == made[:2]
        with files.held() as held:
            held.append(made[2:])
        assert path.read_bytes() == whole


@pytest.mark.parametrize("end", [b"\0" * 700, b'{"v":1,"x', b'{"v":1}\n', b"\0\0\0\n"])
def test_last__what_a_crash_leaves__is_passed_over(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "witness.jsonl"
    for number in (0, 1, 3):
        path.write_bytes(b"")
        made = filled(path, number)
        whole = path.read_bytes()
        path.write_bytes(whole + end)
        files = Witness((path,))
        assert files.last() == (made[-1] if made else None)
        with files.held() as held:
            held.append(lines(4)[number:])
        assert list(files.lines()) == lines(4)


@pytest.mark.parametrize("foreign", [b"root:x:0:0", b"root:x:0:0\n", b"a\nb\nc\n", b"\n\n"])
def test_append__file_of_somebody_else__is_refused_and_stays(tmp_path: Path, foreign: bytes) -> None:
    path = tmp_path / "witness.jsonl"
    path.write_bytes(foreign)
    with pytest.raises(Damaged):
        Witness((path,)).last()
    with Witness((path,)).held() as held, pytest.raises(Damaged):
        held.append(lines(1))
    assert path.read_bytes() == foreign


def test_lines__damage_before_the_end__is_told(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    filled(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match="line 3"):
        list(Witness((path,)).lines())


def test_last__long_lines__are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    made = lines(3, of=2_000)
    with Witness((path,)).held() as held:
        held.append(made)
    assert path.stat().st_size > 4 * witness_files._TAIL
    assert Witness((path,)).last() == made[-1]


def test_append__disk_full__leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    filled(path, 2)
    before = path.read_bytes()

    def run(sent: Any) -> None:
        # A file may not grow beyond this: the write ends early, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, len(before) + 100))
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with Witness((path,)).held() as held:
                held.append(lines(3)[2:])
        except Unwritable as error:
            sent.send(str(error))

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=run, args=[theirs])
    process.start()
    process.join()
    assert ours.poll() and "No witness file took the line" in ours.recv()
    assert path.read_bytes() == before


def test_append__two_paths__both_have_every_line(tmp_path: Path) -> None:
    one, two = tmp_path / "a" / "w", tmp_path / "b" / "w"
    for path in (one, two):
        path.parent.mkdir()
    files = Witness((one, two))
    made = lines(4)
    with files.held() as held:
        held.append(made[:2])
    two.unlink()
    with files.held() as held:
        held.append(made[2:3])
    assert two.read_bytes() == one.read_bytes()
    # Behind by two lines, and torn.
    one.write_bytes(one.read_bytes()[: len(made[0].text()) + 30])
    assert files.last() == made[2]
    with files.held() as held:
        held.append(made[3:])
    assert list(Witness((one,)).lines()) == list(Witness((two,)).lines()) == made


def test_append__one_of_two_paths_gone__is_told_and_the_other_written(tmp_path: Path) -> None:
    there, gone = tmp_path / "w", tmp_path / "unmounted" / "w"
    files = Witness((gone, there))
    with files.held() as held:
        (fault,) = held.append(lines(1))
    assert str(gone) in fault
    assert files.last() == lines(1)[0]


def test_held__no_path_there__is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match="unmounted"), Witness((tmp_path / "unmounted" / "w",)).held():
        pass


def test_last__files_contradict__is_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    filled(one, 1)
    other = dataclasses.replace(lines(1)[0], hash="11" * 32)
    with Witness((two,)).held() as held:
        held.append([other])
    with pytest.raises(Damaged, match="contradict"):
        Witness((one, two)).last()


def test_last__one_damaged_one_whole__is_the_whole_ones(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    made = filled(two)
    one.write_bytes(b"a\nb\nc\n")
    files = Witness((one, two))
    assert files.last() == made[-1]
    assert list(files.lines()) == made
    with files.held() as held:
        (fault,) = held.append(lines(6)[5:])
    assert str(one) in fault
    assert one.read_bytes() == b"a\nb\nc\n"
    assert list(files.lines()) == lines(6)


def test_prune__old_lines__go_but_never_the_last(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    made = filled(path)
    files = Witness((path,))
    with files.held() as held:
        assert held.prune(now=4_000_000, keep=2_000_000) == 2
        assert list(files.lines()) == made[2:]
        assert held.prune(now=4_000_000, keep=2_000_000) == 0
        assert held.prune(now=10**15, keep=0) == 2
        assert list(files.lines()) == made[-1:]
        held.append(lines(6)[5:])
    assert list(files.lines()) == lines(6)[4:]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _append_some(path: Path, number: int) -> None:
    files = Witness((path,))
    for _n in range(number):
        with files.held() as held:
            last = held.last()
            begun = (last.position if last else 0) // 3
            held.append(lines(begun + 1)[begun:])


def test_held__several_processes__write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_append_some, args=[path, 10]) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert list(Witness((path,)).lines()) == lines(30)


def test_visible__no_file__is_not(tmp_path: Path) -> None:
    files = Witness.at([str(tmp_path / "w")])
    assert not files.is_visible()
    assert files.last() is None
    before = files.stamp()
    filled(tmp_path / "w")
    assert files.is_visible()
    assert files.stamp() != before


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_last__file_that_cannot_be_read__is_no_absent_one(tmp_path: Path) -> None:
    path = tmp_path / "w"
    filled(path)
    path.chmod(0)
    with pytest.raises(Unwritable, match="permission"):
        Witness((path,)).last()
