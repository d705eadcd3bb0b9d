"""Factories of what tests need: with names and addresses of their own, and traits for the kinds.

What a service alone may write is made by that service, so that its history is real. `build` writes nothing.
"""

import datetime as dt
import uuid
from typing import Any

import factory
from allauth.mfa.models import Authenticator
from django.db.models import QuerySet
from factory.django import DjangoModelFactory

from accounts.access import Actor
from accounts.models import Invitation, Member, Organization, OutgoingMessage, User
from consent import ledger
from consent.models import BulkJob, ImportFile, ImportProblem, ImportRow, WebhookAttempt, WebhookEndpoint
from consent.models.jobs import JobKind
from consent.services import members, organizations, plans
from consent.services.organizations import OrganizationDraft

PASSWORD = "the password of nobody in particular"
OPERATOR = "odin@provider.example"  # in whose name tests run commands
LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


def long_standing(person: User) -> User:
    """Date the person's operator status and credentials to before everything in the test."""
    instants = {"credentials_at": LONG_AGO} | ({"operator_since": LONG_AGO} if person.is_staff else {})
    QuerySet(User).filter(pk=person.pk).update(**instants)
    person.refresh_from_db()
    return person


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    class Params:
        operator = factory.Trait(is_staff=True, email=factory.Sequence("operator{}@provider.example".format))
        superuser = factory.Trait(operator=True, is_superuser=True)

    email = factory.Sequence("person{}@people.example".format)
    name = factory.Sequence("Person {}".format)
    password = PASSWORD

    @classmethod
    def _create(cls, model: type[User], *args: Any, **fields: Any) -> User:
        return model.objects.create_user(*args, **fields)

    @factory.post_generation
    def old(self: User, create: bool, wanted: bool | None, **_: Any) -> None:
        """`old=True`: an operator, or credentials, from before everything in the test."""
        if wanted:
            long_standing(self)


class ActorFactory(factory.Factory):
    """Somebody who has just reauthenticated; an operator, unless another user is named."""

    class Meta:
        model = Actor

    class Params:
        of_commands = factory.Trait(user__email=OPERATOR, user__name="Odin Eriksen")

    user = factory.SubFactory(UserFactory, operator=True)

    @classmethod
    def _create(cls, model: type[Actor], *_: Any, user: User) -> Actor:
        return model.from_user(user, confirmed=True)


class OrganizationFactory(factory.Factory):
    """`build` gives a draft; otherwise it is created, by an operator's service."""

    class Meta:
        model = OrganizationDraft

    class Params:
        plan = ""
        personal = factory.Trait(
            kind="personal", owner=factory.LazyAttributeSequence(lambda it, n: (f"owner{n}@people.example", it.name))
        )

    external_id = None
    name = factory.LazyAttributeSequence(lambda it, n: f"{it.external_id} Ltd" if it.external_id else f"Institute {n}")
    subscriptions = factory.LazyAttribute(lambda it: [plans.get_plan(it.plan)] if it.plan else [])
    actor = None
    source = "admin"

    @classmethod
    def _build(cls, model: type[OrganizationDraft], *_: Any, actor: Actor, source: str, **fields: Any) -> Any:
        return model(**fields)

    @classmethod
    def _create(cls, model: type[OrganizationDraft], *_: Any, actor: Actor, source: str, **fields: Any) -> Organization:
        return organizations.create_organization(draft=model(**fields), actor=actor or ActorFactory(), source=source)

    @classmethod
    def create_batch(
        cls, size: int, *, actor: Actor | None = None, source: str = "admin", **fields: Any
    ) -> list[Organization]:
        """All in one transaction, as an import makes them."""
        drafts = cls.build_batch(size, **fields)
        return organizations.create_organizations(drafts, actor=actor or ActorFactory(), source=source)

    @classmethod
    def with_ids(cls, *external_ids: str, **fields: Any) -> list[Organization]:
        """One for each of these external ids."""
        return cls.create_batch(len(external_ids), external_id=factory.Iterator(external_ids), **fields)


class MemberFactory(factory.Factory):
    class Meta:
        model = Member

    organization = factory.SubFactory(OrganizationFactory)
    user = factory.SubFactory(UserFactory)
    role = "member"
    actor = factory.SubFactory(ActorFactory)
    source = "admin"

    @classmethod
    def _create(cls, model: type[Member], *_: Any, user: User, **fields: Any) -> Member:
        return members.add_member(email=user.email, **fields)


class InvitationFactory(DjangoModelFactory):
    class Meta:
        model = Invitation

    email = factory.Sequence("invited{}@people.example".format)
    hash = factory.Sequence("hash-{}".format)


class AuthenticatorFactory(DjangoModelFactory):
    """A second factor: an authenticator app, or a passkey."""

    class Meta:
        model = Authenticator

    class Params:
        passkey = factory.Trait(type=Authenticator.Type.WEBAUTHN, data={})

    type = Authenticator.Type.TOTP
    data = factory.LazyFunction(lambda: {"secret": "x"})


class OutgoingMessageFactory(DjangoModelFactory):
    class Meta:
        model = OutgoingMessage

    recipient = factory.Sequence("person{}@people.example".format)
    subject = "s"
    body = "b"


class BulkJobFactory(DjangoModelFactory):
    class Meta:
        model = BulkJob

    class Params:
        loads = factory.Trait(kind=JobKind.IMPORT, table="organizations")

    source = "admin"
    author = factory.SubFactory(UserFactory, operator=True)
    created_at = factory.LazyFunction(ledger.clock)


class ImportRowFactory(DjangoModelFactory):
    class Meta:
        model = ImportRow

    number = factory.Sequence(lambda n: n + 1)
    line = factory.LazyAttribute(lambda it: it.number + 1)
    email = "a@b.example"


class ImportProblemFactory(DjangoModelFactory):
    class Meta:
        model = ImportProblem

    line = factory.Sequence(lambda n: n + 2)
    remedy = "Mend it."


class ImportFileFactory(DjangoModelFactory):
    class Meta:
        model = ImportFile

    table = "members"
    name = "m.csv"
    created_at = factory.LazyFunction(ledger.clock)
    uploaded_by = factory.SubFactory(UserFactory, operator=True)


class WebhookEndpointFactory(DjangoModelFactory):
    """A row without a key or a check of its address; `webhooks.create_endpoint` is what people use."""

    class Meta:
        model = WebhookEndpoint

    url = factory.Sequence("https://receiver{}.example/".format)
    created_at = factory.LazyFunction(ledger.clock)


class WebhookTestFactory(DjangoModelFactory):
    class Meta:
        model = WebhookAttempt

    endpoint = factory.SubFactory(WebhookEndpointFactory)
    at = factory.LazyFunction(ledger.clock)
    waiting_for = factory.LazyFunction(uuid.uuid4)
    delivered = False
    latency_ms = 0
