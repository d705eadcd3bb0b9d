"""The way from the ledger to training data: reads signed snapshots of consent and filters records by them.

Knows no Django and nothing of the portal but its rules, so that it runs wherever the data is. What is public is
loaded when it is first used: signatures and digests need none of the libraries of requirements/pipeline.txt.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .filtering import Options, filter_records
    from .gate import open_allowed
    from .report import FilterReport
    from .snapshot import Snapshot

__all__ = ["FilterReport", "Options", "Snapshot", "filter_records", "open_allowed"]

_MODULES = {
    "FilterReport": "report",
    "Options": "filtering",
    "Snapshot": "snapshot",
    "filter_records": "filtering",
    "open_allowed": "gate",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
