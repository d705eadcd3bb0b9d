"""Base class of the commands that read or change consent."""

from typing import ClassVar

from accounts.fields import rfc3339
from accounts.management.base import Misuse, PortalCommand, printable
from accounts.models import Plan

from ..errors import Invalid, ServiceError
from ..rules import State
from ..services import plans

YES_NO = {True: "yes", False: "no"}


class ConsentCommand(PortalCommand):
    # Refusals of services become one-line errors (see PortalCommand.execute).
    refusals: ClassVar[tuple[type[Exception], ...]] = (ServiceError,)

    def say(self, refusal: Exception) -> str:
        """The message of a refusal, preceded by the name of the wrong field, if there is one."""
        field = refusal.field if isinstance(refusal, ServiceError) else ""
        return f"{field}: {refusal}" if field else str(refusal)

    def plan(self, key: str) -> Plan:
        try:
            return plans.get_plan(key)
        except Invalid:
            known = ", ".join(Plan.objects.values_list("key", flat=True))
            raise Misuse(f"There is no plan “{printable(key)}”. The plans: {known}.") from None


def state_data(state: State) -> dict[str, object]:
    """A layer's state as JSON-ready values."""
    return {
        "plan": state.plan if state.subscribed else "",
        "choice": str(state.choice),
        "carried_over_from": state.carry,
        "locked": state.locked,
        "allowed": state.allowed,
        "reason": str(state.reason_code),
        "since": rfc3339(state.since),
    }
