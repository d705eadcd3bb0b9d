"""The catalogue of notices: the page, the templates and docs/notices.md say what it says."""

from pathlib import Path

import pytest

from consent.notices.catalogue import ENTRIES, Notice

ROOT = Path(__file__).parents[3]


def test_catalogue__each_notice_has_an_entry_and_a_template_and_no_template_is_without() -> None:
    assert set(ENTRIES) == set(Notice)
    assert {path.stem for path in (ROOT / "templates/emails").iterdir()} == set(Notice)


@pytest.mark.parametrize("notice", Notice)
def test_docs__have_the_row_of_each_notice(notice: Notice) -> None:
    entry = ENTRIES[notice]
    off = f"no. {entry.always}" if entry.always else "yes"
    row = f"| {entry.label} | {entry.what} | {entry.who} | {off} | `{notice}` |"
    assert row in (ROOT / "docs/notices.md").read_text(encoding="utf-8")
