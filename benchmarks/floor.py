"""The settings of the floor: the same views, no middleware at all."""

from .naive import *  # noqa: F403

MIDDLEWARE: list[str] = []
