"""Ours beside a bare side, alternating on one database: what both snapshots and removals are measured by."""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from .databases import Place
from .tables import Line, show

SIDES = ("ours", "bare")
Pair = Mapping[str, Mapping[str, Any]]  # side → `cpu` and `wall` in seconds, `peak` in MiB, and what else it says


def alternate(where: Place, pairs: int, step: Callable[[str], dict[str, Any]], same: str) -> list[Pair]:
    """Run both sides so many times, in turn first. Raises RuntimeError if they don't say the same of `same`."""
    taken = []
    for n in range(pairs):
        pair = {side: step(side) for side in (SIDES if n % 2 == 0 else reversed(SIDES))}
        if pair["ours"][same] != pair["bare"][same]:
            raise RuntimeError(f"{same}: {pair['ours'][same]} are not {pair['bare'][same]}")
        show(f"{where.label}, pair {n + 1}: {pair['ours']['cpu']:.2f} CPU s, bare {pair['bare']['cpu']:.2f} CPU s")
        taken.append(pair)
    return taken


def median(taken: list[Pair], side: str, what: str) -> float:
    """The median of what a side says in all pairs."""
    return statistics.median(pair[side][what] for pair in taken)


def lines(where: Place, taken: list[Pair], work: str, bare: str, *, goal: float, memory_goal: int) -> list[Line]:
    """The lines of a table: ratios of CPU and wall-clock time, what each side took, and the memory of ours in MiB."""
    cpu, wall = (
        statistics.median(pair["ours"][what] / pair["bare"][what] for pair in taken) for what in ("cpu", "wall")
    )
    told = {side: f"{median(taken, side, 'cpu'):.2f} CPU s, {median(taken, side, 'wall'):.2f} s" for side in SIDES}
    peak = max(pair["ours"]["peak"] for pair in taken)
    return [
        Line(where.label, f"{work} / {bare}, CPU", f"{cpu:.2f} ×", f"≤ {goal} ×", cpu <= goal),
        Line(where.label, f"{work} / {bare}, wall", f"{wall:.2f} ×"),
        Line(where.label, work, told["ours"]),
        Line(where.label, bare, told["bare"]),
        Line(where.label, f"{work}: memory", f"{peak:.0f} MiB", f"≤ {memory_goal} MiB", peak <= memory_goal),
    ]
