"""The demo's history, made by calling the services in chronological order with a clock that is set to the past.

Names, plans and choices are always the same; days are relative to today. All addresses are in the reserved domain
`.example`.
"""

import datetime as dt
import functools
from collections.abc import Callable

from accounts.access import Actor
from accounts.models import ApiKey, Member, Organization, User

from ..jobs import actions, engine
from ..jobs.selection import Selection
from ..models import BulkJob, Source
from ..rules import Choice
from ..services import choices, credentials, locks, members, organizations, plans
from ..services.organizations import OrganizationDraft
from ..surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE, Surface
from .background import YEARS, SyntheticOrganization, synthetic_organizations
from .consumers import DemoConsumers, ask_lately
from .training import DemoTraining
from .words import DemoWords

OPERATOR = ("operator@demo.example", "Iris Operator")
REVIEWER = ("reviewer@demo.example", "Lars Reviewer")
# The users with a password: address → description.
PEOPLE = {
    OPERATOR[0]: "operator, for all organizations",
    REVIEWER[0]: "second operator, who approves jobs",
    "ada@kvasir.example": "owner of Kvasir Labs",
    "bo@kvasir.example": "admin of Kvasir Labs",
    "dag@kvasir.example": "auditor of Kvasir Labs, member of Meridian Bank",
    "cleo@kvasir.example": "member of Kvasir Labs",
    "nadia@meridian.example": "admin of Meridian Bank, which opted in on Enterprise",
    "mira@okafor.example": "owner of her personal organization",
}
_DESCRIPTIONS = {
    "le_chat_free": "For one person, free of charge.",
    "le_chat_pro": "For one person who uses it a lot.",
    "le_chat_student": "For students, at a lower price.",
    "le_chat_teams": "For teams, with an Admin Console.",
    "le_chat_enterprise": "For large organizations, by contract.",
    "ai_studio_experiment": "To try the API, free of charge.",
    "ai_studio_scale": "The API, paid by what is used.",
}
_STEP = dt.timedelta(minutes=11)
# The scenario's days are stretched by this factor, so that they cover the two years of the background.
_PACE = 4
_Role = Member.Role


class Story:
    """Makes the history, with the clock that `travel` sets; each step is 11 minutes (_STEP) after the one before."""

    def __init__(self, travel: Callable[[dt.datetime], None], today: dt.datetime, password: str) -> None:
        """Create the operators, with `password`, before everything else.

        They may approve only what is submitted after their own credentials were set (R13).
        """
        self._consumers = DemoConsumers()
        self._travel, self._today, self._now = travel, today, today - dt.timedelta(days=YEARS + 1)
        self._words = DemoWords(travel, today, self._now)
        self._operator, self._reviewer = (
            Actor.from_command(
                User.objects.create_user(address, password, name=name, is_staff=True, created_at=self._now)
            )
            for address, name in (OPERATOR, REVIEWER)
        )
        self._training = DemoTraining(self._operator)
        self._steps_left: list[tuple[int, Callable[[], None]]] = self._schedule()
        scopes = [ApiKey.Scope.CONSENT_MEMBER]
        self._key = credentials.issue_key(
            name="Mobile app backend", scopes=scopes, actor=self._operator, source=Source.COMMAND
        ).key
        self._phone = Actor.from_key(self._key)

    def tell(self) -> None:
        """Make the whole history, from two years ago until today."""
        self._plans_described()
        self._kvasir_and_the_first_personal_accounts()
        self._customers_with_contracts()
        self._plans_move()
        self._choices_on_the_phone()
        self._lately()
        self._jobs()
        self._training.remove()
        self._now = self._consumers.speak(self._travel, self._now)
        ask_lately((self.kvasir, self.meridian, self.halden), self._operator, self._today.date())
        # Not needed any more, and nobody has its text.
        credentials.revoke_key(key=self._key, actor=self._operator, source=Source.COMMAND)

    # --- Chapters ---

    def _plans_described(self) -> None:
        for key, description in _DESCRIPTIONS.items():
            plan = plans.get_plan(key)
            plans.edit_plan(plan=plan, description=description, actor=self._operator, source=Source.ADMIN)

    def _kvasir_and_the_first_personal_accounts(self) -> None:
        self._days_ago(182)
        self.kvasir = self._team("Kvasir Labs", "kvasir", "NO", "le_chat_pro", "ai_studio_experiment")
        self._join(self.kvasir, "ada@kvasir.example", "Ada Lindqvist", _Role.OWNER)
        self._join(self.kvasir, "bo@kvasir.example", "Bo Adeyemi", _Role.ADMIN)
        self._join(self.kvasir, "cleo@kvasir.example", "Cleo Marchetti")
        self._days_ago(171)
        self._join(self.kvasir, "dag@kvasir.example", "Dag Haugen", _Role.AUDITOR)
        for name in ("Elif Kaya", "Finn Berg", "Greta Novak", "Hiro Tanaka", "Inge Solberg", "Jonas Vik"):
            self._join(self.kvasir, f"{name.partition(' ')[0].lower()}@kvasir.example", name)
        self._personal("Mira Okafor", "okafor", "NG", "le_chat_free")
        self._personal("Tomasz Zieliński", "zielinski", "PL", "le_chat_student")
        self._days_ago(160)
        self._choose(self.kvasir, "bo@kvasir.example", AI_STUDIO_CONSOLE, Choice.OPTED_OUT)

    def _customers_with_contracts(self) -> None:
        self._days_ago(150)
        self.halden = self._team("Halden Museum", "halden", "DE", "le_chat_teams")
        self._join(self.halden, "lena@halden.example", "Lena Brandt", _Role.OWNER)
        self.meridian = self._team("Meridian Bank", "meridian", "FR", "le_chat_enterprise", "ai_studio_scale")
        self._join(self.meridian, "paul@meridian.example", "Paul Mercier", _Role.OWNER)
        self._join(self.meridian, "nadia@meridian.example", "Nadia Rahal", _Role.ADMIN)
        self._join(self.meridian, "dag@kvasir.example", "Dag Haugen")
        self._days_ago(138)
        self.orchard = self._team("Orchard Health", "orchard", "IE", "le_chat_enterprise", "ai_studio_scale")
        self._join(self.orchard, "sean@orchard.example", "Sean Whelan", _Role.OWNER)
        reason = "Board decision of March: help improve the assistant for branch staff."
        self._choose(self.meridian, "nadia@meridian.example", LE_CHAT_CONSOLE, Choice.OPTED_IN, reason)
        self._choose(self.orchard, "sean@orchard.example", LE_CHAT_CONSOLE, Choice.OPTED_IN, "Pilot on test data.")
        self._days_ago(121)
        locks.place_lock(
            organization=self.orchard,
            product="le_chat",
            reason="Patient data must not be used for training.",
            reference="Contract OH-2291, § 7",
            actor=self._operator,
            source=Source.ADMIN,
        )

    def _plans_move(self) -> None:
        self._days_ago(117)
        self._consumers.register(self._operator)
        self.tessera = self._team("Tessera Studio", "tessera", "IT", "le_chat_teams")
        self._join(self.tessera, "vito@tessera.example", "Vito Serra", _Role.OWNER)
        self.juniper = self._team("Juniper & Sons", "juniper", "GB", "le_chat_pro")
        self._join(self.juniper, "olive@juniper.example", "Olive Juniper", _Role.OWNER)
        self._choose(self.juniper, "olive@juniper.example", LE_CHAT_CONSOLE, Choice.OPTED_IN)
        self._days_ago(96)
        self.bluefin = self._team("Bluefin Logistics", "bluefin", "PT", "le_chat_free", "ai_studio_scale")
        self._join(self.bluefin, "rui@bluefin.example", "Rui Tavares", _Role.OWNER)
        self.pinehill = self._team("Pinehill Archive", "pinehill", "CA", "le_chat_teams")
        self._join(self.pinehill, "noah@pinehill.example", "Noah Clarke", _Role.OWNER)
        self._days_ago(74)
        self._subscribe(self.tessera, "le_chat_pro", "Downgraded by the customer.")  # carried over
        self._subscribe(self.juniper, "le_chat_teams", "Upgraded by the customer.")  # the opt-in is dropped
        self._days_ago(70)
        self._default(Choice.OPTED_OUT, "Off for all while the terms are reviewed.")
        self._days_ago(61)
        plans.end_subscription(
            organization=self.bluefin,
            product="le_chat",
            reason="Cancelled by the customer.",
            actor=self._operator,
            source=Source.ADMIN,
        )

    def _choices_on_the_phone(self) -> None:
        self._days_ago(52)
        zielinski = Organization.objects.get(external_id="zielinski")
        self._for_themselves(zielinski, "tomasz@zielinski.example", Choice.OPTED_OUT, Source.IOS)
        for number, name in enumerate(("elif", "finn", "greta", "hiro", "inge")):
            self._for_themselves(
                self.kvasir,
                f"{name}@kvasir.example",
                Choice.OPTED_OUT,
                (Source.IOS, Source.ANDROID)[number % 2],
            )
        self._days_ago(45)
        self._for_themselves(self.kvasir, "greta@kvasir.example", Choice.OPTED_IN, Source.ANDROID)
        self._days_ago(38)
        jonas = self._member(self.kvasir, "jonas@kvasir.example")
        members.remove_member(member=jonas, actor=self._person("bo@kvasir.example"), source=Source.CONSOLE)
        cleo = "cleo@kvasir.example"
        for choice in (Choice.OPTED_OUT, Choice.OPTED_IN):
            self._days_ago(36 if choice == Choice.OPTED_OUT else 35)
            self._for_themselves(self.kvasir, cleo, choice, Source.DATA_CONTROLS, self._person(cleo))

    def _lately(self) -> None:
        self._days_ago(34)
        self._training.register()
        self._default(Choice.OPTED_IN, "The terms are reviewed.")
        self._days_ago(33)
        self._personal("Lucía Ferreira", "ferreira", "ES", "le_chat_pro")
        self.quokka = self._team("Quokka Robotics", "quokka", "AU", "le_chat_free", "ai_studio_experiment")
        self._join(self.quokka, "zoe@quokka.example", "Zoe Nguyen", _Role.OWNER)
        self._days_ago(24)
        choices.choose(
            surface=LE_CHAT_CONSOLE,
            organization=self.quokka,
            choice=Choice.OPTED_OUT,
            actor=self._operator,
            source=Source.ADMIN,
            reason="Asked for by telephone.",
        )
        self._days_ago(20)
        self._training.remove(3_184)
        self._days_ago(17)
        organizations.close_organization(
            organization=self.pinehill, actor=self._operator, source=Source.ADMIN, reason="Account cancelled."
        )
        self._days_ago(9)
        self._choose(self.halden, "lena@halden.example", LE_CHAT_CONSOLE, Choice.OPTED_OUT)
        self._days_ago(2)
        self._join(self.kvasir, "kari@kvasir.example", "Kari Moe")
        self._for_themselves(self.kvasir, "kari@kvasir.example", Choice.OPTED_OUT, Source.IOS)

    def _jobs(self) -> None:
        """One job that has run, and one that waits for a second operator's approval."""
        self._days_ago(1)
        self._run(
            actions.preview_choice(
                surface=AI_STUDIO_CONSOLE,
                selection=Selection(plan=("ai_studio_experiment",), country=("FR", "DE")),
                choice=Choice.OPTED_OUT,
                reason="Asked for by the data protection authority.",
                actor=self._operator,
                source=Source.ADMIN,
            )
        )
        waiting = actions.preview_choice(
            surface=LE_CHAT_CONSOLE,
            selection=Selection(plan=("le_chat_teams",), country=("SE",)),
            choice=Choice.OPTED_IN,
            reason="Research programme, agreed with each customer.",
            actor=self._operator,
            source=Source.ADMIN,
        )
        actions.submit(job=waiting, actor=self._operator, digest=waiting.digest)

    def _default(self, default: Choice, reason: str) -> None:
        self._run(
            actions.preview_default(
                plan=plans.get_plan("ai_studio_experiment"),
                default=default,
                reason=reason,
                actor=self._operator,
                source=Source.ADMIN,
            )
        )

    def _run(self, job: BulkJob) -> None:
        job = actions.submit(job=job, actor=self._operator, digest=job.digest)
        if job.loosens:
            job = actions.approve(job=job, actor=self._reviewer)
        engine.run(engine.claim(job))

    # --- The background ---

    def _schedule(self) -> list[tuple[int, Callable[[], None]]]:
        """The steps of the background organizations as (days ago, step), in reverse order: `pop` gives the earliest."""
        steps: list[tuple[int, Callable[[], None]]] = []
        for each in synthetic_organizations():
            steps.append((each.days_ago, functools.partial(self._comes, each)))
            for days, choice in ((each.opts_out, Choice.OPTED_OUT), (each.opts_in, Choice.OPTED_IN)):
                if days is not None:
                    steps.append((days, functools.partial(self._chooses, each, choice)))
            if each.moves:
                steps.append((each.moves[0], functools.partial(self._moves, each, each.moves[1])))
        return sorted(steps, key=lambda step: step[0])

    def _comes(self, newcomer: SyntheticOrganization) -> None:
        organization = self._create(
            OrganizationDraft(
                name=newcomer.name,
                kind=Organization.Kind.PERSONAL if newcomer.personal else Organization.Kind.TEAM,
                external_id=newcomer.external_id,
                country=newcomer.country,
                owner=(self._address(newcomer), newcomer.owner) if newcomer.personal else None,
            ),
            *newcomer.plans,
        )
        if not newcomer.personal:
            self._join(organization, self._address(newcomer), newcomer.owner, _Role.OWNER)

    @staticmethod
    def _address(newcomer: SyntheticOrganization) -> str:
        return f"owner@{newcomer.external_id.encode('idna').decode()}.example"

    def _chooses(self, newcomer: SyntheticOrganization, choice: Choice) -> None:
        organization = Organization.objects.get(external_id=newcomer.external_id)
        reason = "Decided by the board." if choice == Choice.OPTED_IN else ""
        surface = LE_CHAT_CONSOLE
        if newcomer.personal:
            self._for_themselves(organization, self._address(newcomer), choice, Source.IOS)
        else:
            self._choose(organization, self._address(newcomer), surface, choice, reason)

    def _moves(self, newcomer: SyntheticOrganization, plan_key: str) -> None:
        self._subscribe(
            Organization.objects.get(external_id=newcomer.external_id), plan_key, "Asked for by the customer."
        )

    # --- Verbs ---

    def _days_ago(self, days: int) -> None:
        """Set the clock to `days` × _PACE days before today, after running the background's steps until then."""
        while self._steps_left and self._steps_left[-1][0] > days * _PACE:
            ago, step = self._steps_left.pop()
            self._go(ago)
            step()
        self._go(days * _PACE)

    def _go(self, days: int) -> None:
        """Set the clock to that many days before today; it never goes back. Until then the consumers speak."""
        said = self._consumers.speak(self._travel, self._now)
        self._now = max(said, self._today - dt.timedelta(days=days))
        self._travel(self._now)

    def _later(self) -> None:
        self._now += _STEP
        self._travel(self._now)

    def _team(self, name: str, external_id: str, country: str, *plan_keys: str) -> Organization:
        return self._create(OrganizationDraft(name=name, external_id=external_id, country=country), *plan_keys)

    def _personal(self, name: str, external_id: str, country: str, *plan_keys: str) -> Organization:
        first_name = name.partition(" ")[0].lower().replace("í", "i")
        return self._create(
            OrganizationDraft(
                name=name,
                kind=Organization.Kind.PERSONAL,
                external_id=external_id,
                country=country,
                owner=(f"{first_name}@{external_id}.example", name),
            ),
            *plan_keys,
        )

    def _create(self, draft: OrganizationDraft, *plan_keys: str) -> Organization:
        self._later()
        organization = organizations.create_organization(draft=draft, actor=self._operator, source=Source.API)
        for key in plan_keys:
            self._subscribe(organization, key)
        return organization

    def _subscribe(self, organization: Organization, plan_key: str, reason: str = "") -> None:
        self._later()
        plan = plans.get_plan(plan_key)
        plans.subscribe(organization=organization, plan=plan, actor=self._operator, source=Source.ADMIN, reason=reason)

    def _join(self, organization: Organization, email: str, name: str, role: str = _Role.MEMBER) -> None:
        self._later()
        members.add_member(
            organization=organization,
            email=email,
            name=name,
            role=role,
            external_id=email.partition("@")[0],
            actor=self._operator,
            source=Source.ADMIN,
        )

    def _choose(
        self, organization: Organization, email: str, surface: Surface, choice: Choice, reason: str = ""
    ) -> None:
        self._later()
        choices.choose(
            surface=surface,
            organization=organization,
            choice=choice,
            actor=self._person(email),
            source=Source.CONSOLE,
            reason=reason,
            version_required=False,
            shown=self._words.seen(surface, self._now),
        )

    def _for_themselves(
        self, organization: Organization, email: str, choice: Choice, source: Source, actor: Actor | None = None
    ) -> None:
        """On the phone; with the person as `actor`, in Data & Account Controls."""
        self._later()
        choices.choose(
            surface=LE_CHAT_MOBILE,
            organization=organization,
            member=self._member(organization, email),
            choice=choice,
            actor=actor or self._phone,
            source=source,
            version_required=False,
            shown=self._words.seen(LE_CHAT_MOBILE, self._now, on_phone=actor is None),
        )

    def _person(self, email: str) -> Actor:
        return Actor.from_user(User.objects.get(email=email), confirmed=True)

    def _member(self, organization: Organization, email: str) -> Member:
        return Member.objects.select_related("organization", "user").get(organization=organization, user__email=email)
