"""Settings of the baseline (floor): the views of benchmarks.naive, without any middleware."""

from .naive import *  # noqa: F403

MIDDLEWARE: list[str] = []
