"""What external ids mean, for the model (R16): of each id what happened to it, and its meaning read off that.

Nothing of the portal's bindings is in here: no rows, no number of a meaning, no `since` of a layer.
"""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field

PREFIX = "external:"
# However a caller spells an id, it is one.
SPELLINGS = ("{}", "{}", "{}", " {}", '"{}"', "“{} ”")
_AROUND = ' "“”'

Id = tuple[str, str]  # within which organization, '' for an organization's own; its text


@dataclass(frozen=True)
class Meant:
    """From an instant on the id meant this subject, '' for nobody; by it what was collected from `start` on counts."""

    at: dt.datetime
    subject: str
    start: dt.datetime


@dataclass
class Names:
    history: dict[Id, list[Meant]] = field(default_factory=lambda: defaultdict(list))
    shown: dict[str, str] = field(default_factory=dict)  # subject → the id that it shows

    def meant(self, name: Id, moment: dt.datetime) -> Meant | None:
        """What it meant then; None for nobody."""
        last = next((each for each in reversed(self.history[name]) if each.at <= moment), None)
        return last if last and last.subject else None

    def subject(self, name: Id) -> str:
        """Whom it means now, '' for nobody."""
        return self.history[name][-1].subject if self.history[name] else ""

    def ever(self, name: Id) -> list[str]:
        """All whom it ever meant, in order."""
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
        """Whom an id, or external:ID, of a question means then, '' for nobody; and from when on it may be asked by."""
        if not ident.startswith(PREFIX):
            return ident, None
        meant = self.meant((scope, ident.removeprefix(PREFIX).strip(_AROUND)), moment)
        return (meant.subject, meant.start) if meant else ("", None)
