"""Operators who make and confirm requests, and the outcome."""

from typing import Any

from allauth.mfa.models import Authenticator
from django.test import Client

from accounts.access import Actor
from accounts.models import AddressChange, OutgoingMessage, User
from consent.models import OperatorRequest
from consent.services import cooling_off, operator_requests
from tests.support import cast as casting
from tests.support.factories import LONG_AGO, AuthenticatorFactory, UserFactory
from tests.support.ledger_guards import everything


class Staff:
    """Three operators, a former operator, and somebody who never was one."""

    def __init__(self) -> None:
        self.asker, self.second, self.subject = (
            UserFactory(email=f"{name}@provider.example", name=name.title(), operator=True, old=True)
            for name in ("odin", "frigg", "tyr")
        )
        self.gone = UserFactory(email="loki@provider.example", name="Loki", operator=True)
        User.objects.filter(pk=self.gone.pk).update(is_active=False)
        self.nobody = UserFactory(email="ada@kvasir.example", name="Ada")
        AuthenticatorFactory(user=self.subject, created_at=LONG_AGO)
        # So that there is something to shorten.
        cooling_off.lengthen(product="le_chat", days=30, actor=self.actor("asker"), source="admin")

    def actor(self, name: str) -> Actor:
        return Actor.from_user(User.objects.get(pk=getattr(self, name).pk), confirmed=True)

    def asked(self, kind: str) -> OperatorRequest:
        wishes: dict[str, dict[str, Any]] = {
            "operator": {"email": "new@provider.example", "name": "New"},
            "reactivated": {"kind": "operator", "subject": self.gone},
            "link": {"subject": self.subject},
            "second_factors": {"subject": self.subject},
            "address": {"subject": self.subject, "email": "tyr@elsewhere.example"},
            "cooling_off": {"product": "le_chat", "days": 7},
        }
        wish = {"kind": kind} | wishes[kind]
        return operator_requests.ask(actor=self.actor("asker"), reason="as agreed", **wish)

    def client(self, name: str) -> Client:
        return casting.signed_in(getattr(self, name).email)


def all_there_is() -> list[Any]:
    tables = (OperatorRequest, AddressChange, Authenticator)
    return [*everything(), *(list(table._base_manager.order_by("pk").values_list()) for table in tables)]


def operators() -> set[str]:
    return set(User.objects.filter(is_staff=True, is_active=True).values_list("email", flat=True))


def mailed_to() -> list[str]:
    """Who was told of what was done; those who may confirm a request hear of it too, but that does nothing."""
    done = OutgoingMessage.objects.exclude(subject__contains="waits for a second operator")
    return list(done.order_by("pk").values_list("recipient", flat=True))
