"""A plugin of `make coverage`: measures the tests that are about our code, and lets the others run at full speed.

Measuring takes half as long again. These send thousands of requests, or play thousands of steps, through code that
other tests reach as well, or look at it from a browser: their time would be spent on counting the same lines again.
"""

import os
from collections.abc import Generator

import pytest
from coverage import Coverage

UNMEASURED_FOLDERS = {"browser", "migrations", "serving"}
UNMEASURED = {
    "test_benchmarks",
    "test_cross_tenant",
    "test_demo",
    "test_every_url",
    "test_filter_interrupted",  # its processes may write no more than a few bytes, of which measuring takes some
    "test_habits",
    "test_machine",
    "test_machine_keys",
    "test_pages_nonsense",
    "test_permission_matrix",
    "test_same_everywhere",
    "test_two_worlds",
}
# What coverage tells the subprocesses of a process that is measured.
_SUBPROCESSES = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


def is_measured(item: pytest.Item) -> bool:
    return item.path.stem not in UNMEASURED and item.path.parent.name not in UNMEASURED_FOLDERS


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    measuring = Coverage.current()
    if measuring is None or is_measured(item):
        return (yield)
    told = {name: os.environ.pop(name) for name in _SUBPROCESSES if name in os.environ}
    measuring.stop()
    try:
        return (yield)
    finally:
        os.environ.update(told)
        measuring.start()
