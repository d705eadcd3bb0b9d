"""Which encoding a file is in, told from its bytes, read once from beginning to end, a piece at a time."""

import codecs
import re
from collections.abc import Iterator

from .files import BadFile, open_file

_PIECE = 1 << 20
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_LEADS = [bytes([lead]) for lead in range(0xC2, 0xF5)]
_UTF8_SEQUENCE = re.compile(rb"[\xc3-\xf4][\x80-\xbf]+")


def find_encoding(path: str, named: str | None) -> str:
    """The encoding named, or the one that the bytes look like; raises BadFile where the file is not text in it."""
    encoding = _without_mark(named) if named else _guess(path)
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise BadFile(f"There is no encoding “{encoding}”.") from None
    try:
        for piece in _pieces(path):
            if "\x00" in decoder.decode(piece):
                raise BadFile("The file has NUL characters: it is not text. Save it as CSV in UTF-8.")
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise BadFile(f"The file is not {encoding}: {error}. Name its encoding, or save it as UTF-8.") from None
    return encoding


def _pieces(path: str) -> Iterator[bytes]:
    with open_file(path) as data:
        while piece := data.read(_PIECE):
            yield piece


def _whole_characters(path: str) -> Iterator[bytes]:
    """The file in pieces, none of which ends within a character of UTF-8; a line may have any length."""
    rest = b""
    for data in _pieces(path):
        piece = rest + data
        start = max(piece.rfind(lead, len(piece) - 3) for lead in _LEADS) if not piece[-3:].isascii() else -1
        cut = start if start >= 0 and len(piece) - start < _length(piece[start]) else len(piece)
        yield piece[:cut]
        rest = piece[cut:]
    yield rest


def _length(lead: int) -> int:
    """Bytes of the character that this one begins."""
    return 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


def _guess(path: str) -> str:
    start = next(_pieces(path), b"")[:1000]
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return encoding
    if start.count(0) > len(start) // 4:
        return "utf-16-be" if start.startswith(b"\x00") else "utf-16-le"
    bad_line = bad_byte = foreign = sequences = before = 0
    for piece in _whole_characters(path):
        if not piece.isascii():
            sequences += len(_UTF8_SEQUENCE.findall(piece))
            try:
                piece.decode()
            except UnicodeDecodeError as error:
                foreign += piece.decode(errors="replace").count("\ufffd")
                bad_line = bad_line or before + piece.count(b"\n", 0, error.start) + 1
                bad_byte = bad_byte or piece[error.start]
        before += piece.count(b"\n")
    if not foreign:
        return "utf-8"
    # Mostly UTF-8: then it is that, with a fault, and reading it otherwise would garble all the rest.
    if sequences > foreign:
        raise BadFile(
            f"The file is UTF-8 but for line {bad_line}, where there is a byte {bad_byte:#04x}. "
            "Mend that line, or name the file's encoding."
        )
    return "cp1252"


def _without_mark(encoding: str) -> str:
    """UTF-8 may begin with a mark that is no part of the first column's name."""
    try:
        return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    except LookupError:
        return encoding
