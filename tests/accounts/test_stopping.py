"""How a long-running command ends when told: by itself, in the middle of a step, or not before its step is over."""

import os
import signal
from collections.abc import Iterator

import pytest

from accounts.management import stopping
from accounts.management.stopping import Stopped, Stopping


@pytest.fixture(autouse=True)
def handlers_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stopping, "GRACE", 0.02)
    monkeypatch.setattr(stopping, "_AGAIN", 60)
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    yield
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


def ignored(times: int) -> int:
    """A step that is interrupted `times` times, and goes on after each; returns how often it was."""
    interrupted = 0
    while interrupted < times:
        try:
            while True:
                pass
        except Stopped:
            interrupted += 1
    return interrupted


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_stopping__step_that_looks__ends_by_itself(sent: signal.Signals) -> None:
    with Stopping() as told:
        assert not told.asked()
        os.kill(os.getpid(), sent)
        told.wait(60)
        assert told.asked()


def test_stopping__step_that_does_not_look__stopped_in_its_middle() -> None:
    steps = []
    with Stopping():
        os.kill(os.getpid(), signal.SIGTERM)
        steps.append("begun")
        while True:
            pass
    assert steps == ["begun"]


def test_stopping__step_that_goes_on_nevertheless__ends_when_it_wants() -> None:
    with Stopping() as told:
        os.kill(os.getpid(), signal.SIGTERM)
        assert ignored(1) == 1
        assert told.asked()


def test_stopping__step_interrupted_twice__left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_AGAIN", 0.02)
    with Stopping() as told:
        os.kill(os.getpid(), signal.SIGTERM)
        assert ignored(2) == 2
        told._listener.join(60)
        assert not told._listener.is_alive()


def test_stopping__own_error_of_the_step__passes_on() -> None:
    with pytest.raises(LookupError), Stopping():
        raise LookupError
