"""The words that the demo's people saw as they chose: for the last months today's; those of before nobody kept."""

import datetime as dt
import itertools
from collections.abc import Callable

from .. import wordings
from ..surfaces import Shown, Surface

_DAYS = 240  # since when the words are today's
_LANGUAGES = ("en", "en", "fr")
_APP_VERSION = "4.2"


class DemoWords:
    def __init__(self, travel: Callable[[dt.datetime], None], today: dt.datetime, now: dt.datetime) -> None:
        """Keep today's words since a day of the past; the ledger is empty still. Leaves the clock at `now`."""
        self._since = today - dt.timedelta(days=_DAYS)
        self._languages = itertools.cycle(_LANGUAGES)
        travel(self._since)
        wordings.renew()
        travel(now)

    def seen(self, surface: Surface, now: dt.datetime, *, on_phone: bool = False) -> Shown:
        if now < self._since:
            key, _slash, number = surface.wording.partition("/")
            return Shown(f"{key}/{int(number) - 1}")
        return Shown(surface.wording, next(self._languages), _APP_VERSION if on_phone else "")
