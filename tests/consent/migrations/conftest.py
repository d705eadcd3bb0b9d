"""Migrating back and forth makes all models anew for each step: to look for garbage meanwhile takes a third longer."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def garbage_collected_afterwards() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()
    gc.collect()
