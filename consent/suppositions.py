"""What a layer would be if something else held: by the rules' own transitions; pure."""

import datetime as dt
from typing import NamedTuple

from . import rules
from .rules import State


class Supposition(NamedTuple):
    """What is supposed of an organization's layer; '' and None: as it is. A `plan` comes with its `default`."""

    plan: str = ""
    default: str = ""
    locked: bool | None = None


def suppose(state: State, what: Supposition, at: dt.datetime) -> State:
    """The state that the layer would be in: by the same transitions that would lead there."""
    if what.plan and not rules.subscribe_obstacle(state):
        state = rules.subscribe(state, what.plan, what.default, at)
    elif what.default and state.subscribed:  # a default changes for those alone who hold the plan
        state = rules.subscribe(state, state.plan, what.default, at)
    if what.locked is not None and what.locked != state.locked:
        state = rules.lock(state, at) if what.locked else rules.lift_lock(state, at)
    return state
