"""The meaning of external ids for the model (R16), derived from what happened to each id.

It shares nothing with the portal's bindings: no rows, no numbered meanings, no `since` of a layer.
"""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field

PREFIX = "external:"
# Ways to write an external id that all mean the same one.
SPELLINGS = ("{}", "{}", "{}", " {}", '"{}"', "“{} ”")
_AROUND = ' "“”'

Id = tuple[str, str]  # the organization within which it is unique ('' for an organization's own id), and its text


@dataclass(frozen=True)
class Meant:
    """From `at` on the id means `subject` ('' for none), for data collected from `start` on."""

    at: dt.datetime
    subject: str
    start: dt.datetime


@dataclass
class Names:
    history: dict[Id, list[Meant]] = field(default_factory=lambda: defaultdict(list))
    shown: dict[str, str] = field(default_factory=dict)  # subject → the id that it shows

    def meant(self, name: Id, moment: dt.datetime) -> Meant | None:
        """What the id meant at `moment`; None if it meant nobody."""
        last = next((each for each in reversed(self.history[name]) if each.at <= moment), None)
        return last if last and last.subject else None

    def subject(self, name: Id) -> str:
        """The subject that the id means now, '' for none."""
        return self.history[name][-1].subject if self.history[name] else ""

    def ever(self, name: Id) -> list[str]:
        """All subjects that the id ever meant, in order."""
        return [each.subject for each in self.history[name] if each.subject]

    def is_anothers(self, name: Id, subject: str) -> bool:
        return any(each != subject for each in self.ever(name))

    def given(self, name: Id, subject: str, at: dt.datetime, start: dt.datetime | None = None) -> None:
        before = self.subject(name)
        if before != subject:
            self._hidden(name, before)
            self.history[name].append(Meant(at, subject, start or at))
        self.shown[subject] = name[1]

    def withdrawn(self, name: Id, at: dt.datetime) -> None:
        self._hidden(name, self.subject(name))
        self.history[name].append(Meant(at, "", at))

    def _hidden(self, name: Id, subject: str) -> None:
        if self.shown.get(subject) == name[1]:
            del self.shown[subject]

    def found(self, ident: str, scope: str, moment: dt.datetime) -> tuple[str, dt.datetime | None]:
        """The subject of a question's id or `external:` id at `moment` ('' for none), and the start for its data."""
        if not ident.startswith(PREFIX):
            return ident, None
        meant = self.meant((scope, ident.removeprefix(PREFIX).strip(_AROUND)), moment)
        return (meant.subject, meant.start) if meant else ("", None)
