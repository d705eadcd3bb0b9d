"""log_resume: what was moved signs again only when somebody has said that the old one is off."""

import pytest

from consent.log import checkpoints, origins
from consent.models import LogCheckpoint
from tests.support.commands import run
from tests.support.log import add_events, kept, step

pytestmark = pytest.mark.django_db


def test_log_resume__not_paused__changes_nothing() -> None:
    assert run("log_resume", "--format", "json").json == {"resumed": False}


def test_log_resume__paused__signs_again_once_it_is_confirmed() -> None:
    with kept():
        add_events(3)
        step()
        origins.pause()
        add_events(2)
        step()
        assert checkpoints.standing().state == "paused"
        result = run("log_resume")
        assert result.code != 0 and "--old-one-is-off" in result.err
        step()
        assert LogCheckpoint.objects.count() == 1
        assert run("log_resume", "--old-one-is-off", "--format", "json").json == {"resumed": True}
        step()
        assert list(LogCheckpoint.objects.values_list("size", flat=True)) == [3, 5]
