"""The rules, tabulated for set-based SQL: what a bulk change makes of each state that occurs among its rows.

Only a few parts of a state matter to a transition, and only a few combinations of them occur. The database groups rows
by these, `rules.py` is asked once about each group, and the statement that changes thousands of rows joins the answers.
So SQL repeats no rule.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .. import rules
from ..models import JobKind
from ..rules import Choice, Reason, State

CHANGE, SAME = "change", "same"
# The outcome of rows that are skipped: by a change that loosens, if they changed since the preview; by an undo, if
# somebody chose, confirmed or moved since; by a plan's default, if they left the plan.
CHANGED_SINCE = "changed_since"
# Any two instants, one before the other; and placeholders, by which an outcome shows where its carry comes from.
_BEFORE, _AT = dt.datetime(2001, 1, 1, tzinfo=dt.UTC), dt.datetime(2002, 1, 1, tzinfo=dt.UTC)
_PLAN, _CARRY, _ROW_CARRY = "plan", "carry", "row"


class StateGroup(NamedTuple):
    """A group of rows that are the same in everything that the rules depend on.

    Variables call it a shape. `stale`: changed by somebody else, so that the job skips it; `changed`: not in the
    version that was previewed.
    """

    subscribed: bool
    applied_default: str
    choice: str
    carried: bool
    locked: bool
    closed: bool
    wanted: str
    row_carried: bool
    stale: bool
    changed: bool


class GroupOutcome(NamedTuple):
    """What becomes of the rows of a group. `to_carry`: where the carry comes from; `flips`: whether `allowed` changes.

    `loosens` ignores locks, closed accounts and ended subscriptions, which may be gone when the job runs, or later.
    """

    outcome: str
    loosens: bool
    to_default: str
    to_choice: str
    to_carry: str
    to_allowed: bool
    to_reason: str
    flips: bool


@dataclasses.dataclass(frozen=True)
class _Operation:
    apply: Callable[[State, str, str], State]  # state, wanted, the row's carry
    refuse: Callable[[State, str], str | None]  # why a state is not changed; None if it is
    same: Callable[[State, str], bool]


def _refuse_choice(state: State, wanted: str) -> str | None:
    return None if wanted == Choice.OPTED_OUT else rules.bulk_opt_in_obstacle(state)


_OPERATIONS = {
    JobKind.CHOICE: _Operation(
        lambda state, wanted, _: (rules.opt_out if wanted == Choice.OPTED_OUT else rules.opt_in)(state, _AT),
        _refuse_choice,
        lambda state, wanted: state.choice == wanted,
    ),
    JobKind.PLAN_DEFAULT: _Operation(
        lambda state, wanted, _: rules.subscribe(state, state.plan, wanted, _AT),
        lambda state, _: None if state.subscribed else Reason.NO_SUBSCRIPTION,
        lambda state, wanted: state.applied_default == wanted,
    ),
    JobKind.UNDO: _Operation(
        lambda state, wanted, carry: rules.restore(state, wanted, carry, _AT),
        lambda _state, _: None,
        lambda _state, _: False,
    ),
}


def answer(kind: JobKind, shape: StateGroup, obstacle: str = "") -> GroupOutcome:
    """Apply the rules to a group of rows. `obstacle`: why this job may not loosen anything any more; '' if it may.

    A change that loosens needs a row that is as it was previewed; a change that tightens always applies (R13).
    """
    operation = _OPERATIONS[kind]
    state = State(
        plan=_PLAN,
        subscribed=shape.subscribed,
        applied_default=shape.applied_default,
        choice=shape.choice,
        carry=_CARRY if shape.carried else "",
        locked=shape.locked,
        closed=shape.closed,
        since=_BEFORE,
    )
    allowed, reason = rules.judge(state)
    state = after = dataclasses.replace(state, allowed=allowed, reason_code=reason)
    if shape.stale:
        outcome = CHANGED_SINCE
    elif operation.same(state, shape.wanted):
        outcome = SAME
    else:
        outcome = operation.refuse(state, shape.wanted) or CHANGE
    loosens = False
    if outcome == CHANGE:
        after = operation.apply(state, shape.wanted, _ROW_CARRY if shape.row_carried else "")
        loosens = after.allowed > allowed or _may_be_used(after) > _may_be_used(state)
        # This holds for every opt-in, even if the plan's default allows use already.
        held = loosens or after.choice == Choice.OPTED_IN != state.choice or kind == JobKind.PLAN_DEFAULT
        if held and (shape.changed or obstacle):
            outcome, after, loosens = CHANGED_SINCE if shape.changed else obstacle, state, False
    return GroupOutcome(
        outcome,
        loosens,
        after.applied_default,
        after.choice,
        after.carry,
        after.allowed,
        after.reason_code,
        after.allowed != allowed,
    )


def _may_be_used(state: State) -> bool:
    """Whether use is allowed, or would be without lock, closed account or ended subscription.

    If a change makes this true, it loosens, now or later.
    """
    default = state.applied_default or Choice.OPTED_IN
    return rules.judge(
        dataclasses.replace(state, subscribed=True, locked=False, closed=False, applied_default=default)
    )[0]


COLUMNS = StateGroup._fields + GroupOutcome._fields


def values(answers: Iterable[tuple[StateGroup, GroupOutcome]]) -> str:
    """`VALUES (…), (…)` with groups and their outcomes, for a common table expression `t(COLUMNS)`."""
    return "VALUES " + ", ".join(f"({', '.join(map(literal, shape + found))})" for shape, found in answers)


def literal(value: object) -> str:
    """A code word, or a boolean, as an SQL literal. Raises ValueError for any other text."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    text = str(value)
    if text and not text.replace("_", "").isalnum():
        raise ValueError(f"not a word of ours: {text}")
    return f"'{text}'"
