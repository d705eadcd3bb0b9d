"""Detects the encoding of a file from its bytes, which are read from beginning to end, a piece at a time."""

import codecs
import io
import re
from collections.abc import Iterator

from .atomic import BadFile, open_file

# The encodings that a screen offers; a command accepts any that Python knows.
CHOICES = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 LE",
    "utf-16-be": "UTF-16 BE",
    "cp1252": "Windows-1252",
    "latin-1": "Latin-1",
    "iso8859-15": "ISO-8859-15",
    "cp1250": "Windows-1250",
    "cp1251": "Windows-1251",
    "koi8-r": "KOI8-R",
    "cp1253": "Windows-1253",
    "cp1254": "Windows-1254",
    "cp1255": "Windows-1255",
    "cp1256": "Windows-1256",
    "cp932": "Shift_JIS",
    "euc_jp": "EUC-JP",
    "gb18030": "GB18030",
    "big5": "Big5",
    "cp949": "EUC-KR",
    "mac_roman": "Mac Roman",
}
_PIECE = 1 << 20  # bytes
_START = 4096
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_NO_TEXT = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"%PDF", b"SQLite format 3")
# Supersets that Windows writes under these names: the same, with more characters.
_WIDER = {"shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949"}
_LEADS = [bytes([lead]) for lead in range(0xC2, 0xF5)]
_UTF8_SEQUENCE = re.compile(rb"[\xc3-\xf4][\x80-\xbf]+")


class Encoding(str):
    """The name of an encoding, as Python knows it; `doubtful`: the file's bytes fit others as well."""

    doubtful: bool

    def __new__(cls, name: str, *, doubtful: bool = False) -> "Encoding":
        made = super().__new__(cls, name)
        made.doubtful = doubtful
        return made

    @property
    def label(self) -> str:
        return CHOICES.get(self, self.upper())


def find_encoding(path: str, named: str | None) -> Encoding:
    """The encoding `named`, else the likely one. Raises BadFile if the file can't be decoded by it, or is no text."""
    start = next(_pieces(path), b"")[:_START]
    if start.startswith(_NO_TEXT):
        raise BadFile("This is no text but a program's own file. Save its table as CSV in UTF-8.")
    encoding = Encoding(_known(named)) if named else _guess(path, start)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for piece in _pieces(path):
            decoder.decode(piece)
        # Fails if the file ends within a character.
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise BadFile(f"The file is not {encoding}: {_where(error)}. Name its encoding, or save it as UTF-8.") from None
    return encoding


def _where(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError) and error.start < len(error.object):
        return f"it has a byte {error.object[error.start]:#04x} where that has none"
    return "it ends within a character" if isinstance(error, UnicodeDecodeError) else "its bytes don't fit"


def _pieces(path: str) -> Iterator[bytes]:
    with open_file(path) as data:
        while piece := data.read(_PIECE):
            yield piece


def _whole_characters(path: str) -> Iterator[bytes]:
    """The file in pieces, cut between characters of UTF-8. Not by lines, because a line may have any length."""
    rest = b""
    for data in _pieces(path):
        piece = rest + data
        # A character has four bytes at most, so one that is cut off begins within the last three.
        start = max(piece.rfind(lead, len(piece) - 3) for lead in _LEADS) if not piece[-3:].isascii() else -1
        cut = start if start >= 0 and len(piece) - start < _length(piece[start]) else len(piece)
        yield piece[:cut]
        rest = piece[cut:]
    yield rest


def _length(lead: int) -> int:
    """Number of bytes of the UTF-8 character that this byte begins."""
    return 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


def _guess(path: str, start: bytes) -> Encoding:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return Encoding(encoding)
    if wide := _wide(start):
        return wide
    # Of the bytes that are not ASCII: valid sequences of UTF-8, and those that are not (`foreign`), with the first.
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
        return Encoding("utf-8")
    # Mostly valid UTF-8: then it is UTF-8 with a fault, and another encoding would garble all the rest.
    if sequences > foreign:
        raise BadFile(
            f"The file is UTF-8 but for line {bad_line}, where there is a byte {bad_byte:#04x}. "
            "Mend that line, or name the file's encoding."
        )
    # Windows-1252 decodes nearly every byte, so only a person can tell whether it is right.
    return Encoding("cp1252", doubtful=True)


def _wide(start: bytes) -> Encoding | None:
    """UTF-16 without a byte order mark: the same byte of each pair is often zero. None if it isn't UTF-16.

    In text that is not Latin, only line ends, separators and digits have such a zero; then the letters decide.
    """
    zeros = (start[::2].count(0), start[1::2].count(0))
    high = 0 if zeros[0] > zeros[1] else 1
    if zeros[high] < 2 or zeros[1 - high] > zeros[high] // 10:
        return None
    name = "utf-16-be" if high == 0 else "utf-16-le"
    # More than half of the pairs have a zero: Latin text.
    if zeros[high] > len(start) // 4:
        return Encoding(name)
    text = start[: len(start) // 2 * 2].decode(name, "replace")
    letters = sum(character.isalnum() for character in text)
    plausible = ("\n" in text or "\r" in text) and letters > len(text) // 2 and "\ufffd" not in text[:-1]
    return Encoding(name, doubtful=True) if plausible and not _like_utf8(start) else None


def _like_utf8(start: bytes) -> bool:
    """Whether it is text in UTF-8, even if it has some NUL characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return 10 * sum(character < " " and character not in "\0\t\r\n" for character in text) < len(text)


def _known(named: str) -> str:
    """The codec for an encoding that somebody named. Raises BadFile if there is none.

    UTF-8 becomes utf-8-sig, so that a byte order mark is not read as part of the first column's name.
    """
    try:
        info = codecs.lookup(named)
        io.TextIOWrapper(io.BytesIO(), named)  # refuses codecs that are not for text
    except (LookupError, ValueError):
        raise BadFile(f"There is no encoding “{named[:40]}”.") from None
    return "utf-8-sig" if info.name == "utf-8" else _WIDER.get(info.name, named)
