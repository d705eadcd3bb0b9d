"""The rates of keys, held in this process: the memory for them is bounded, and forgetting gives nobody more."""

import pytest

from accounts import limits


def test_buckets__as_many_as_are_kept__full_ones_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_LARGEST", 2)
    monkeypatch.setattr(limits, "_buckets", {})
    assert limits._take_token("full again", 1, 0.0) == 0
    assert limits._take_token("still empty", 1, 9.5) == 0
    assert limits._take_token("new", 1, 10.0) == 0
    assert set(limits._buckets) == {"still empty", "new"}
    # Within the second nothing is forgotten: an exhausted key stays exhausted.
    assert limits._take_token("another", 1, 10.2) == 0
    assert limits._take_token("still empty", 1, 10.3) == limits._take_token("new", 1, 10.3) == -1
