"""Files that are written completely or not at all."""

from pathlib import Path
from typing import BinaryIO

import pytest

from consent.files.atomic import BadFile, new_file


def test_new_file__at_a_folder__is_refused_even_by_force(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="is not a file"), new_file(str(tmp_path), force=True):
        pass
    assert list(tmp_path.iterdir()) == []


def interrupted_while_writing(out: BinaryIO) -> None:
    out.write(b"half")
    raise KeyboardInterrupt


def test_new_file__interrupted__leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "choices.csv"
    target.write_text("as it was")
    with pytest.raises(KeyboardInterrupt), new_file(str(target), force=True) as out:
        interrupted_while_writing(out)
    assert target.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [target]


def test_new_file__disk_is_full__is_told_by_the_path(tmp_path: Path) -> None:
    target = tmp_path / "choices.csv"
    with pytest.raises(BadFile, match=f"{target}: No space left on device"), new_file(str(target)):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []
