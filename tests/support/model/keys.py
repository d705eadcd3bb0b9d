"""What keys and webhooks are worth, for the model (R18): what happened to people's rights, and a worth read off that.

Nothing of the portal's suspending is in here, no mark and no state. Something is worth what it says as long as whoever
answers for it has had the right to without a break since they began to; that is why it stays worthless when they come
back. Instants are counts: after so many things had happened to anybody's rights.
"""

from dataclasses import dataclass, field

MANAGING = ("owner", "admin")
VIEW, ASK, SPEAK = "organizations:read", "decisions:read", "consent:member"


@dataclass(frozen=True)
class Turn:
    """Something that happened to somebody's rights: "role" and "left" of an organization, the others of the person."""

    who: int
    what: str  # role, left, operator, no operator, deactivated, reactivated
    where: str = ""
    role: str = ""


@dataclass(eq=False)
class Credential:
    """A key or a webhook: `where` is its organization, '' for all; `keeper` answers for it, None: the installation."""

    where: str
    made: int
    maker: int | None
    keeper: int | None
    since: int  # when the keeper began to answer for it
    scopes: tuple[str, ...] = ()
    texts: list[str] = field(default_factory=list)  # of a key, the last one given last
    ended: bool = False

    @property
    def speaks_for_members(self) -> bool:
        return SPEAK in self.scopes

    @property
    def waits(self) -> bool:
        """For a second operator, who is the first to see its text."""
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
        """As an operator, active or not."""
        last = self._last(who, self.now if moment is None else moment, "operator", "no operator")
        return last is not None and last.what == "operator"

    def role(self, who: int, where: str, moment: int | None = None) -> str:
        last = self._last(who, self.now if moment is None else moment, "role", "left", where=where)
        return last.role if last else ""

    def may(self, who: int, where: str, moment: int | None = None) -> bool:
        """Have keys and webhooks there: as an operator, or as one of those who manage the organization."""
        managing = bool(where) and self.role(who, where, moment) in MANAGING
        return self.is_active(who, moment) and (managing or self.is_marked(who, moment))

    def people(self) -> list[int]:
        return sorted({turn.who for turn in self.turns})

    @property
    def now(self) -> int:
        return len(self.turns)

    def happens(self, *turns: Turn) -> list[Credential]:
        """Returns whose worth it ends."""
        live = [each for each in self.credentials if self.lives(each)]
        self.turns += turns
        return [each for each in live if not self.lives(each)]

    def readers(self, where: str) -> list[int]:
        """Who is told: the owners, without one the operators."""
        people = [who for who in self.people() if self.is_active(who)]
        owners = [who for who in people if where and self.role(who, where) == "owner"]
        return owners or [who for who in people if self.is_marked(who)]

    # --- Keys and webhooks ---

    def makes(self, who: int | None, where: str, *scopes: str) -> Credential:
        """`who`: None on the machine."""
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
        """Whether they may: "", or what refuses it."""
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
        """Of the answer to a request with this text about an organization that needs the scope."""
        key = next((each for each in self.credentials if text in each.texts[-1:]), None)
        if key is None or not self.lives(key):
            return 401
        if key.where not in ("", where):
            return 404
        return 200 if scope in key.scopes else 403
