"""Files are read in pieces, whatever their content: rows and unpacked data have a size limit."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consent.files import atomic
from consent.files.atomic import BadFile, open_file
from consent.files.encodings import find_encoding
from consent.files.tables import TableFile, open_table
from consent.models import BulkJob, ImportFile
from tests.support.cast import Cast
from tests.support.commands import database, run

Make = Callable[[bytes], str]
KIB = 1 << 10
_MUCH = 1 << 24


@pytest.fixture(autouse=True)
def small(settings: Any) -> None:
    settings.ROW_KB, settings.UNPACKED_MB = 2, 1


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(data: bytes) -> str:
        path = tmp_path / "table"
        path.write_bytes(data)
        return str(path)

    return made


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that were unpacked, by each reader."""
    read: list[int] = []
    inner = atomic._Unpacked.readinto

    def counted(self: Any, buffer: Any) -> int:
        read.append(inner(self, buffer))
        return read[-1]

    monkeypatch.setattr(atomic._Unpacked, "readinto", counted)
    return read


def table(path: str) -> tuple[TableFile, list[Any]]:
    found = open_table(path)
    return found, list(found)


LONG = [
    pytest.param(b"A" * 3 * KIB, 1, id="header"),
    pytest.param(b"A,B\n1,2\n" + b"x" * 3 * KIB + b",1\n3,4\n", 3, id="value"),
    pytest.param(b"A,B\n1,2\n3,4" + b" " * 3 * KIB, 3, id="last line without an end"),
    pytest.param(b"A,B\n1,2\n" + b"," * 3 * KIB + b"\n", 3, id="many values"),
    pytest.param(b"A,B\n1,2\n" + b'"\n",' * 2 * KIB, 3, id="many lines in one row"),
    pytest.param(b'A,B\n1,2\n"' + b"open\n" * 3 * KIB, 3, id="quote that is never closed"),
    pytest.param(b"A\r1\r" + b"x" * 3 * KIB, 3, id="old line ends"),
    pytest.param("A,B\n1,2\n{},1\n".format("語" * KIB).encode(), 3, id="characters of several bytes"),
    pytest.param("A,B\n1,2\n{},1\n".format("é" * 1_100).encode("cp1252"), 3, id="several bytes only as UTF-8"),
    pytest.param(("A,B\n1,2\n" + '"é\n",' * 500).encode(), 3, id="several bytes, many lines in one row"),
    pytest.param("A\n1\n".encode("utf-16") + ("x" * 3 * KIB).encode("utf-16-le"), 3, id="UTF-16"),
    pytest.param(b'{"A": "1"}\n{"A": "' + b"x" * 3 * KIB + b'"}\n{"A": "3"}\n', 2, id="JSON Lines"),
    pytest.param(b'{"A": "' + b"x" * 3 * KIB + b'"}', 1, id="JSON Lines, first"),
    pytest.param(b"sep=;\nA;B\n" + b"x" * 3 * KIB + b";1\n", 3, id="after Excel's hint"),
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("data", "row"), LONG)
def test_row__longer_than_the_limit__file_refused_and_row_named(
    make: Make, data: bytes, row: int, packed: bool
) -> None:
    path = make(gzip.compress(data) if packed else data)
    with pytest.raises(BadFile, match=rf"^row {row}: longer than 2 KiB of UTF-8\..* ROW_KB"):
        table(path)


def test_rows__up_to_the_limit__read(make: Make) -> None:
    rows = [{"A": "x" * (2 * KIB - 20)}] * 50
    assert len(table(make(b"".join(json.dumps(row).encode() + b"\n" for row in rows)))[1]) == 50
    assert len(table(make(b"A\n" + (b"y" * (2 * KIB - 1) + b"\n") * 50))[1]) == 50
    for encoding in ("utf-8", "utf-16"):
        assert len(table(make(("A\n" + ("é" * (KIB - 1) + "x\n") * 50).encode(encoding)))[1]) == 50


@pytest.mark.parametrize(
    "data", [b"A" * _MUCH, b"A\n" + b"x" * _MUCH, b"A\n" * _MUCH, b'{"A": "' + b"x" * _MUCH, b"\xe9" * _MUCH]
)  # fmt: skip
def test_packed__made_to_unpack_to_much__stopped_at_the_limit(make: Make, data: bytes, unpacked: list[int]) -> None:
    with pytest.raises(BadFile, match=r"unpacks to more than 1 MiB"):
        table(make(gzip.compress(data)))
    assert max(unpacked) <= 1 << 20 and sum(unpacked) <= 4 << 20  # a piece at a time, and each reading stops


def test_packed__within_the_limit__read(make: Make) -> None:
    assert len(table(make(gzip.compress(b"A\n" + b"value\n" * 100_000)))[1]) == 100_000


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b""])
def test_encoding__one_endless_line__told_in_pieces(
    make: Make, line_end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent.files.encodings._PIECE", 7)  # so that characters lie across the pieces
    for text in ("é", "éŁ", "a€b", "𝄞x", "ÀÉ€𝄞"):
        assert find_encoding(make((text * 50).encode() + line_end), None) == "utf-8"
        assert find_encoding(make(("aé" * 50).encode("cp1252") + line_end), None) == "cp1252"


def test_encoding__fault_in_a_later_piece__line_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent.files.encodings._PIECE", 5)
    with pytest.raises(BadFile, match="line 4, where there is a byte 0xe9"):
        find_encoding(make("é\né\né\n".encode() + b"\xe9\n"), None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "command", ["import_organizations", "import_members", "import_subscriptions", "import_choices"]
)
def test_command__bomb__said_and_nothing_changed(make: Make, command: str, cast: Cast) -> None:
    before = database()
    more = ["--plan", "le_chat_free"] if command == "import_organizations" else []
    done = run(command, make(gzip.compress(b"x" * (1 << 22))), "--actor", cast.operator.email, "--dry-run", *more)
    assert done.code == 1 and "unpacks to more than 1 MiB" in done.err
    assert database() == before and not BulkJob.objects.exists() and not ImportFile.objects.exists()


def test_file__unpacked__read_as_before(make: Make) -> None:
    with open_file(make(b"A" * (1 << 22))) as data:  # the limit is of what is unpacked
        assert len(data.read()) == 1 << 22
    with open_file(make(gzip.compress(b"A" * 1000))) as data:
        assert data.read(10) == b"A" * 10 and data.readline() == b"A" * 990
