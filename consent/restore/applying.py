"""Does what lost events ask for, by the services, a batch of organizations at a time, in the caller's transaction."""

import dataclasses
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from accounts.access import Actor
from accounts.catalogue import Product
from accounts.models import Member, Organization
from config.batched import batched

from .. import ledger
from ..models import PrivacySetting
from ..services import layers, restored
from ..services.restored import LockWords
from ..surfaces import WITH_MEMBERS
from .asked import Act, Asked, Key, ident

BATCH = 500  # organizations
OnOrganizations = Callable[[int], None]
Acts = Mapping[Key, Collection[Act]]
_WITHOUT_MEMBERS = tuple(product for product in Product.values if product not in WITH_MEMBERS)


@dataclasses.dataclass
class Applied:
    """How many layers each act has changed; ids of organizations and members that are not in this database."""

    done: Counter[Act] = dataclasses.field(default_factory=Counter)
    unknown: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Applier:
    """Applies acts in the name of `actor`; `words`: reason and reference of locks, where they are known."""

    actor: Actor
    origin: ledger.Origin
    words: Mapping[tuple[uuid.UUID, str], LockWords] = dataclasses.field(default_factory=dict)
    applied: Applied = dataclasses.field(default_factory=Applied)

    def apply(self, asked: Asked, on_organizations: OnOrganizations = lambda _number: None) -> Applied:
        by_organization: defaultdict[str, dict[Key, set[Act]]] = defaultdict(dict)
        for key, act in acts_of(asked):
            by_organization[key.organization].setdefault(key, set()).add(act)
        done = 0
        for names in batched(sorted(by_organization), BATCH):
            self._batch({name: by_organization[name] for name in names})
            done += len(names)
            on_organizations(done)
        return self.applied

    def _batch(self, acts: Mapping[str, Acts]) -> None:
        # Locked in the order in which services lock: organizations, their settings, members, their settings.
        rows = Organization.objects.filter(pk__in=list(acts)).select_for_update(no_key=True).order_by("pk")
        known = {str(each.pk): each for each in rows}
        self.applied.unknown += sorted(set(acts) - known.keys())
        wanted = {key: does for name in known for key, does in acts[name].items()}
        self._organizations({key: does for key, does in wanted.items() if not key.member}, known)
        self._members({key: does for key, does in wanted.items() if key.member})

    def _organizations(self, acts: Acts, known: Mapping[str, Organization]) -> None:
        found = layers.lock_settings((known[key.organization], key.product) for key in acts)
        settings = {key: found[known[key.organization].pk, key.product] for key in acts}

        def asked_for(act: Act) -> list[PrivacySetting]:
            return [settings[key] for key, does in acts.items() if act in does]

        out = restored.opt_out(asked_for(Act.OPT_OUT), self.origin)
        locked = restored.lock(asked_for(Act.LOCK), self.origin, self.words)
        allowing = [each for each in asked_for(Act.DENY) if each.allowed]
        locked += restored.lock(allowing, self.origin, self.words)
        self._count(out, locked, asked_for(Act.RESTART))

    def opt_out_everything(self, on_layers: OnOrganizations = lambda _number: None) -> Applied:
        """Opt out every organization and every member: nobody knows what they have said since.

        Those too that something else keeps out now, a lock or a missing subscription: that may end.
        """
        done = 0
        for page in batched(Organization.objects.order_by("pk").iterator(BATCH), BATCH):
            found = layers.lock_settings((each, product) for each in page for product in Product.values)
            self.applied.done[Act.OPT_OUT] += len(restored.opt_out(found.values(), self.origin))
            on_layers(done := done + len(page))
        members = Member.objects.select_related("organization", "user").order_by("organization_id", "pk")
        for people in batched(members.iterator(BATCH), BATCH):
            for product in WITH_MEMBERS:
                own = layers.lock_member_settings(people, product).values()
                self.applied.done[Act.OPT_OUT] += len(restored.opt_out(own, self.origin))
            on_layers(done := done + len(people))
        return self.applied

    def _count(self, out: list[PrivacySetting], locked: list[PrivacySetting], named: Iterable[PrivacySetting]) -> None:
        self.applied.done[Act.OPT_OUT] += len(out)
        self.applied.done[Act.LOCK] += len(locked)
        written = {each.pk for each in (*out, *locked)}
        # Whoever has read of what is lost reads of each layer once more, and nothing else than what holds.
        again = restored.restart([each for each in named if each.pk not in written], self.origin)
        self.applied.done[Act.RESTART] += len(again)

    def _members(self, acts: Acts) -> None:
        ids = {key.member for key in acts}
        rows = Member.objects.filter(pk__in=ids).select_for_update(of=("self",), no_key=True).order_by("pk")
        known = {str(each.pk): each for each in rows.select_related("organization", "user")}
        self.applied.unknown += sorted(ids - known.keys())
        layered: defaultdict[str, dict[str, set[Act]]] = defaultdict(dict)
        for key, does in acts.items():
            if key.member not in known:
                continue
            if key.product:
                layered[key.product].setdefault(key.member, set()).update(does)
                continue
            has_left = Act.LEAVE in does and restored.leave(known[key.member], self.actor)
            self.applied.done[Act.LEAVE] += has_left
            # Whoever left, and can't leave again, is out.
            own = {Act.RESTART} if has_left or Act.LEAVE not in does else {Act.OPT_OUT, Act.RESTART}
            for product in WITH_MEMBERS:
                layered[product].setdefault(key.member, set()).update(own)
        for product, wanted in sorted(layered.items()):
            self._own_layers(product, wanted, known)

    def _own_layers(self, product: str, acts: Mapping[str, set[Act]], known: Mapping[str, Member]) -> None:
        found = layers.lock_member_settings([known[name] for name in acts], product)
        settings = {name: found[known[name].pk] for name in acts}
        out = restored.opt_out([settings[name] for name, does in acts.items() if Act.OPT_OUT in does], self.origin)
        denied = [settings[name] for name, does in acts.items() if Act.DENY in does and settings[name].allowed]
        out += restored.opt_out(denied, self.origin)
        self._count(out, [], settings.values())


def acts_of(asked: Asked) -> Iterable[tuple[Key, Act]]:
    """Each act; with those that follow for layers beside the one that was named."""
    for key, act in asked.acts():
        yield key, act
        if not key.product and act is Act.RESTART:
            # There is no layer of a member's own for these products, only the membership.
            for product in _WITHOUT_MEMBERS:
                yield Key(key.organization, "", product), Act.RESTART
    for organization in sorted(asked.meanings):
        for product in Product.values:
            yield Key(organization, "", product), Act.LOCK
            yield Key(organization, "", product), Act.RESTART


def loosened(asked: Asked) -> list[Key]:
    """Layers that allowed use when they were lost, and do not here: nobody lets them again but a second operator."""
    found: list[Key] = []
    allowed = sorted(key for key, standing in asked.standings.items() if key.product and standing.allowed)
    for keys in batched(allowed, BATCH):
        rows = PrivacySetting.objects.filter(organization__in={key.organization for key in keys}, allowed=False)
        denied = {
            Key(str(organization), ident(member), product)
            for organization, member, product in rows.values_list("organization_id", "member_id", "product")
        }
        found += [key for key in keys if key in denied]
    return found
