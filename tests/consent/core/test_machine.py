"""Random histories through the real services, held against the small model of the rules: see machine.py."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from consent.jobs import engine
from tests.consent.core.machine import Portal

# In `make soak` the profile's 1,000 histories of 50 steps, other ones every time; otherwise always the same few.
BRIEF = settings(max_examples=50, stateful_step_count=40, derandomize=True)


@pytest.mark.soak
@pytest.mark.django_db
def test_portal__random_histories__answers_like_the_model(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "django.request")  # many a key is refused: that would hide what fails
    for size in ("FIRST", "SMALLEST", "LARGEST"):  # so that a job of two rows can be overtaken between them
        monkeypatch.setattr(engine, size, 1)
    chosen = settings() if os.environ.get("SOAK") else BRIEF
    run_state_machine_as_test(
        Portal, settings=settings(chosen, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    )
