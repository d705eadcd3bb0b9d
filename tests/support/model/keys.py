"""Whether keys and webhooks may be used, for the model (R18), derived from what happened to people's rights.

It shares nothing with the portal's suspension: no flag and no state. A key or webhook is live as long as the
responsible person has had the right to it without a break since they became responsible; so it stays dead when they
get the right back. An instant is a count: the number of turns, of anybody, before it.
"""

from dataclasses import dataclass, field

MANAGING = ("owner", "admin")
VIEW, ASK, SPEAK = "organizations:read", "decisions:read", "consent:member"


@dataclass(frozen=True)
class Turn:
    """A change of a person's rights: "role" and "left" concern an organization, the others the person everywhere."""

    who: int
    what: str  # role, left, operator, no operator, deactivated, reactivated
    where: str = ""
    role: str = ""


@dataclass(eq=False)
class Credential:
    """A key or webhook of the organization `where` ('' for all); `keeper` is responsible, None: the installation."""

    where: str
    made: int
    maker: int | None
    keeper: int | None
    since: int  # when the keeper became responsible
    scopes: tuple[str, ...] = ()
    texts: list[str] = field(default_factory=list)  # of a key, the last one given last
    ended: bool = False

    @property
    def speaks_for_members(self) -> bool:
        return SPEAK in self.scopes

    @property
    def waits(self) -> bool:
        """Whether the key waits for a second operator, who will be the first to see its text."""
        return self.speaks_for_members and not self.texts


@dataclass
class Rights:
    turns: list[Turn] = field(default_factory=list)
    credentials: list[Credential] = field(default_factory=list)

    # --- People ---

    def _last(self, who: int, moment: int, *whats: str, where: str = "") -> Turn | None:
        past = reversed(self.turns[:moment])
        return next((t for t in past if t.who == who and t.what in whats and t.where == where), None)

    def is_active(self, who: int, moment: int | None = None) -> bool:
        last = self._last(who, self.now if moment is None else moment, "deactivated", "reactivated")
        return last is None or last.what == "reactivated"

    def is_marked(self, who: int, moment: int | None = None) -> bool:
        """Whether the person has operator status, active or not."""
        last = self._last(who, self.now if moment is None else moment, "operator", "no operator")
        return last is not None and last.what == "operator"

    def role(self, who: int, where: str, moment: int | None = None) -> str:
        last = self._last(who, self.now if moment is None else moment, "role", "left", where=where)
        return last.role if last else ""

    def may(self, who: int, where: str, moment: int | None = None) -> bool:
        """Whether the person may have keys and webhooks there, as an operator or by managing the organization."""
        managing = bool(where) and self.role(who, where, moment) in MANAGING
        return self.is_active(who, moment) and (managing or self.is_marked(who, moment))

    def people(self) -> list[int]:
        return sorted({turn.who for turn in self.turns})

    @property
    def now(self) -> int:
        return len(self.turns)

    def happens(self, *turns: Turn) -> list[Credential]:
        """Add the turns; returns the keys and webhooks that stop being live by them."""
        live = [each for each in self.credentials if self.lives(each)]
        self.turns += turns
        return [each for each in live if not self.lives(each)]

    def readers(self, where: str) -> list[int]:
        """Who gets the e-mail: the owners, or without any the operators."""
        people = [who for who in self.people() if self.is_active(who)]
        owners = [who for who in people if where and self.role(who, where) == "owner"]
        return owners or [who for who in people if self.is_marked(who)]

    # --- Keys and webhooks ---

    def makes(self, who: int | None, where: str, *scopes: str) -> Credential:
        """Add a key or webhook; `who` is None if a command made it."""
        keeper = None if SPEAK in scopes else who
        made = Credential(where, self.now, who, keeper, self.now, scopes)
        self.credentials.append(made)
        return made

    def lives(self, each: Credential) -> bool:
        if each.ended or each.waits:
            return False
        if each.keeper is None:
            return True
        moments = [n + 1 for n, turn in enumerate(self.turns) if n >= each.since and turn.who == each.keeper]
        return all(self.may(each.keeper, each.where, moment) for moment in (each.since, *moments))

    def takes_over(self, who: int, each: Credential) -> str:
        """'' if the person may take it over, else the code of the refusal."""
        if not self.may(who, each.where):
            return "forbidden"
        if each.ended:
            return "ended"
        if each.speaks_for_members:  # takes two operators, and the second has been one since before it was made
            if not each.waits or who == each.maker:
                return "second_operator"
            if any(turn.who == who and turn.what not in ("role", "left") for turn in self.turns[each.made :]):
                return "forbidden"
        return ""

    def taken_over(self, who: int, each: Credential, text: str = "") -> None:
        each.keeper, each.since = None if each.speaks_for_members else who, self.now
        each.texts += [text] if text else []

    def status(self, text: str, scope: str, where: str) -> int:
        """The HTTP status for a request with this key's text, about an organization, that needs the scope."""
        key = next((each for each in self.credentials if text in each.texts[-1:]), None)
        if key is None or not self.lives(key):
            return 401
        if key.where not in ("", where):
            return 404
        return 200 if scope in key.scopes else 403
