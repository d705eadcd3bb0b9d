"""The part of the machine that changes products' cooling-off: longer by one operator, shorter by two (R19)."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from consent.errors import Refused
from consent.models import ConsentEvent
from consent.services import cooling_off, operator_requests
from tests.support.model.rules import AI_STUDIO, LE_CHAT

# Mostly none: while a product has days, its data in these histories, which last seconds, is all too new.
days_of_data = st.sampled_from([0, 0, 0, 1, 2])


class Cooling:
    """What the rule needs of the machine, and the rule."""

    @rule(product=st.sampled_from([LE_CHAT, AI_STUDIO]), days=days_of_data)
    def cools(self: Any, product: str, days: int) -> None:
        before = self.world.days(product)
        wish = {"product": product, "days": days, "source": "admin"}

        def lengthen() -> None:
            cooling_off.lengthen(actor=self.operator, **wish)

        def shorten() -> None:
            request = operator_requests.ask(kind="cooling_off", actor=self.operator, reason="as agreed", **wish)
            operator_requests.confirm(request=request, actor=self.second, password_link=str)

        if days == before:
            self.happens(lengthen)
            return
        if days > before:
            events = self.happens(lengthen, "cooling_off.changed")
        else:
            self.refused(lengthen, Refused, "second_person")
            kinds = ("access.request_made", "cooling_off.changed", "access.request_confirmed")
            events = self.happens(shorten, *kinds)
        (event,) = (each for each in events if each.kind == "cooling_off.changed")
        self.told_days(product, event)

    def told_days(self: Any, product: str, event: ConsentEvent) -> None:
        self.world.cooling.setdefault(product, []).append((event.recorded_at, int(event.after)))
        self.instants.append(event.recorded_at)
