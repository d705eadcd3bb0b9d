"""A rough model of external ids, small enough for thousands of random histories: ids, subjects, and their use.

Time is a counter. A subject's data is used from its last opt-in on (R6). The layers of members and plans are left out,
because they do not depend on the id that a question names. R16 is the few lines of `Rules`; a mutant drops one of them.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

IDS, SUBJECTS = ("a", "b"), ("x", "y", "z")
START = -10  # what an attested start says


class Binding(NamedTuple):
    recorded_at: int
    since: int
    subject: str  # '' for nobody


@dataclass
class Rules:
    """R16, and what it makes of the ids; each switch makes a mutant that drops one rule."""

    attests_freely: bool = False  # a start is attested of any binding, not of an id's first alone
    undoes_to_the_old_dating: bool = False  # a rebinding taken back is as if it had never been
    gives_freely: bool = False  # PATCH gives an id that meant another
    keeps_the_id: bool = False  # ... and it is not dated: only whom it means now is known
    now: int = 0
    bindings: dict[str, list[Binding]] = field(default_factory=lambda: defaultdict(list))
    changes: dict[str, list[tuple[int, bool, int]]] = field(default_factory=lambda: defaultdict(list))

    # --- What is answered ---

    def state(self, subject: str, at: int) -> tuple[bool, int]:
        """Whether the subject's data is used at `at`, and from which collection time on."""
        last = next((each for each in reversed(self.changes[subject]) if each[0] <= at), (0, False, 0))
        return last[1], last[2]

    def used(self, name: str, collected: int, at: int) -> bool:
        meant = next((each for each in reversed(self.bindings[name]) if each.recorded_at <= at), None)
        if meant is None or not meant.subject:
            return False
        allowed, since = self.state(meant.subject, at)
        return allowed and collected >= max(since, meant.since)

    # --- What happens ---

    def choose(self, subject: str, said: bool) -> None:
        if self.state(subject, self.now)[0] != said:
            self.changes[subject].append((self.now, said, self.now))

    def attest(self, name: str, subject: str) -> bool:
        """Create a subject with an attested start, by an id that is given for the first time; returns if it worked."""
        given = [binding.subject for bindings in self.bindings.values() for binding in bindings]
        is_new = not self.changes[subject] and subject not in given
        free = self.attests_freely and not self._now(name)
        if not is_new or not (free or not self.bindings[name]):
            return False
        self.changes[subject].append((self.now, True, START))
        self.bindings[name].append(Binding(self.now, START, subject))
        return True

    def give(self, name: str, subject: str) -> None:
        others = [each for each in self.bindings[name] if each.subject not in ("", subject)]
        if self._now(name) != subject and (self.gives_freely or not others):
            self._bind(name, subject, START if self.keeps_the_id else self.now)

    def withdraw(self, name: str) -> None:
        if self._now(name):
            self._bind(name, "", self.now)

    def rebind(self, name: str, subject: str) -> None:
        if self._now(name) != subject:
            self._bind(name, subject, self.now)

    def undo(self, name: str) -> None:
        """Bind the id to its previous subject again."""
        if len(self.bindings[name]) > 1:
            before = self.bindings[name][-2]
            self._bind(name, before.subject, before.since if self.undoes_to_the_old_dating else self.now)

    def _now(self, name: str) -> str:
        return self.bindings[name][-1].subject if self.bindings[name] else ""

    def _bind(self, name: str, subject: str, since: int) -> None:
        self.bindings[name].append(Binding(self.now, since, subject))


def loosens(rules: Rules, chance: random.Random, steps: int = 14) -> bool:
    """Whether, in a random history, an answer about past data by external id changed from denied to allowed.

    The attested start of a new subject under an id that was never given does not count: two operators approve it.
    """
    asked = [(name, chance.choice([START, *range(steps)])) for name in IDS for _n in range(6)]
    past: dict[tuple[str, int, int], bool] = {}
    before = dict.fromkeys(asked, False)
    for _step in range(steps):
        rules.now += 1
        name, subject = chance.choice(IDS), chance.choice(SUBJECTS)
        fresh = not rules.bindings[name]
        act = chance.choice(["choose", "choose", "choose", "attest", "give", "give", "withdraw", "rebind", "undo"])
        attested = False
        if act == "choose":
            rules.choose(subject, chance.random() < 0.5)
        elif act == "attest":
            attested = rules.attest(name, subject) and fresh
        elif act in ("withdraw", "undo"):
            getattr(rules, act)(name)
        else:
            getattr(rules, act)(name, subject)
        known = {(each, collected): rules.used(each, collected, rules.now) for each, collected in asked}
        for (each, collected), used in known.items():
            if used and not before[each, collected] and collected < rules.now and not (attested and each == name):
                return True
        past |= {(each, collected, rules.now): used for (each, collected), used in known.items()}
        before = known
    return any(rules.used(*then) != used for then, used in past.items())
