"""Acts that take two operators (R19): one asks, another who is not the subject confirms, and it is done once."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import deactivation
from accounts.access import Act, Actor, Forbidden
from accounts.catalogue import Product
from accounts.models import User
from accounts.operators import SecondPerson, active_operators, is_operator_since, require_second_person, second_people

from .. import ledger
from ..errors import Invalid, Refused
from ..models import EventKind, OperatorRequest, RequestKind, RequestStatus, Source
from ..notices.catalogue import Notice
from ..notices.sending import later, portal_url, send
from ..witness import quarantine
from . import cooling_off, layers, members, people, trail
from .people import PasswordLink


def ask(
    *,
    kind: str,
    actor: Actor,
    reason: str,
    subject: User | None = None,
    email: str = "",
    name: str = "",
    product: str = "",
    days: int = 0,
    source: str = Source.ADMIN,
) -> OperatorRequest:
    """Make a request that another operator has to confirm; nothing else is changed yet.

    `email` is that of a new operator, or the subject's new address; a cooling-off has `product` and `days` instead of a
    subject. Raises Forbidden unless the actor is an operator in
    person; Invalid, ConfirmationRequired; Refused for what can't be done to this subject.
    """
    asker = people.in_person(actor)
    if kind not in RequestKind.values:
        raise Invalid("unknown_kind", _("There is no request of this kind."), "kind")
    reason = layers.clean_text(reason, "reason", required=True)
    if kind == RequestKind.COOLING_OFF:
        subject, details = None, _checked_days(product, days)
    else:
        subject, details = _checked(RequestKind(kind), subject, email, name)
    layers.require_confirmed(actor, Act.OPERATOR_MAKE)
    now = ledger.clock()
    with transaction.atomic():
        # One request at a time about the same: a second one could still be confirmed after the first.
        waiting = OperatorRequest.objects.filter(kind=kind, status=RequestStatus.WAITING, expires_at__gt=now)
        if _about_the_same(waiting, subject, details).exists():
            raise Refused("asked", _("Somebody has asked for this already: it waits for another operator."))
        request = OperatorRequest.objects.create(
            kind=kind,
            subject=subject,
            details=details,
            reason=reason,
            asked_by=asker,
            asked_at=now,
            expires_at=now + dt.timedelta(days=settings.OPERATOR_REQUEST_DAYS),
        )
        _note(EventKind.ACCESS_REQUEST_MADE, request, actor, source, after=kind, reason=reason)
        _tell_others(request)
    return request


@transaction.atomic
def confirm(
    *, request: OperatorRequest, actor: Actor, password_link: PasswordLink, source: str = Source.ADMIN
) -> OperatorRequest:
    """Confirm a request as another operator, and do what it asks for.

    Raises Forbidden for the asker, the subject, for people who are no operators, and for those who became operators, or
    got a new way to sign in, after the request; Refused if it is decided or has expired, or its asker is no longer an
    operator; ConfirmationRequired.
    """
    request = _locked(request)
    person = _check_confirmer(request, actor)
    _still_open(request)
    layers.require_confirmed(actor, Act.OPERATOR_MAKE)
    request.confirmed_by = person
    _decide(request, person, RequestStatus.CONFIRMED)
    _ACTS[RequestKind(request.kind)](_Confirmed(request, actor, source, password_link))
    # The act may have created the subject.
    request.save(update_fields=["subject"])
    _note(EventKind.ACCESS_REQUEST_CONFIRMED, request, actor, source, after=request.kind)
    return request


@transaction.atomic
def decline(*, request: OperatorRequest, actor: Actor, source: str = Source.ADMIN) -> OperatorRequest:
    """Withdraw the request, as its asker, or refuse it, as another operator. Raises Forbidden; Refused if decided."""
    person = people.in_person(actor)
    request = _locked(request)
    if request.status != RequestStatus.WAITING:
        raise Refused("decided", _("This request has been decided already: %s.") % request.get_status_display())
    own = person.pk == request.asked_by_id
    _decide(request, person, RequestStatus.WITHDRAWN if own else RequestStatus.REFUSED)
    _note(EventKind.ACCESS_REQUEST_DECLINED, request, actor, source, after=request.kind)
    return request


def _tell_others(request: OperatorRequest) -> None:
    others = second_people(asked_at=request.asked_at, involved=(request.asked_by_id, request.subject_id))
    send(
        Notice.WAITING,
        [person.email for person in others],
        gettext_lazy("A request waits for a second operator"),
        what=RequestKind(request.kind).label,
        about=request.about,
        by=request.asked_by,
        reason=request.reason,
        url=portal_url("admin:consent_operatorrequest_change", request.pk),
    )


# --- Looking ---------------------------------------------------------------------------------------------------------


def waiting() -> QuerySet[OperatorRequest]:
    return OperatorRequest.objects.filter(status=RequestStatus.WAITING, expires_at__gt=ledger.clock())


def to_confirm(second: SecondPerson) -> QuerySet[OperatorRequest]:
    """The waiting requests that this operator can confirm, by the rule of `why_not`."""
    of_operators = waiting().filter(asked_by__in=active_operators(), asked_by__operator_since__lte=F("asked_at"))
    return of_operators.filter(asked_at__gt=second.since).exclude(asked_by=second.user).exclude(subject=second.user)


def has_ended(request: OperatorRequest) -> bool:
    return request.status == RequestStatus.WAITING and request.expires_at <= ledger.clock()


def why_not(request: OperatorRequest, actor: Actor) -> str:
    """Why the actor can't confirm the request; '' if they can, or if it is decided."""
    if request.status != RequestStatus.WAITING:
        return ""
    try:
        with transaction.atomic():
            _check_confirmer(request, actor)
            _still_open(request)
    except (Forbidden, Refused) as error:
        return str(error.detail) or _("Only operators confirm requests.")
    return ""


def possible(request: OperatorRequest, actor: Actor) -> list[str]:
    """What can be done with the request: confirm, if the actor may, and decline."""
    if request.status != RequestStatus.WAITING:
        return []
    return [*([] if why_not(request, actor) else ["confirm"]), "decline"]


# --- What is confirmed -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Confirmed:
    request: OperatorRequest
    actor: Actor
    source: str
    password_link: PasswordLink

    @property
    def subject(self) -> User:
        subject = self.request.subject
        if subject is None:
            raise Refused("subject", _("This person no longer exists."))
        return subject

    def note(self, kind: EventKind, person: User, **more: Any) -> None:
        trail.note(kind, organization=None, actor=self.actor, source=self.source, target=person.pk, **more)


def _make_operator(done: _Confirmed) -> None:
    request = done.request
    person = request.subject
    if person is None:
        person = User.objects.create_user(
            people.free_address(request.details["email"]), None, name=request.details["name"]
        )
    # For the event: a deactivated operator, or person, is reactivated; others become operators.
    again = person.is_staff or not person.is_active
    if person.is_staff and person.is_active:
        raise Refused("status", _("This person is an operator already."))
    person.is_active = person.is_staff = True
    person.operator_since = ledger.clock()
    person.save()
    request.subject = person
    done.note(EventKind.ACCESS_OPERATOR_REACTIVATED if again else EventKind.ACCESS_OPERATOR_MADE, person)
    by = gettext_lazy("%(asker)s, confirmed by %(confirmer)s")
    who = {"asker": request.asked_by, "confirmer": request.confirmed_by}
    people.tell_operators(person, by=later(by, who))
    if not person.has_usable_password():
        people.check_link(person)
        people.send_link(person, done.password_link)
        done.note(EventKind.ACCESS_PASSWORD_LINK_SENT, person)


def _send_link(done: _Confirmed) -> None:
    people.check_link(done.subject)
    people.send_link(done.subject, done.password_link)
    done.note(EventKind.ACCESS_PASSWORD_LINK_SENT, done.subject)


def _remove_confirmed(done: _Confirmed) -> None:
    people.take_second_factors(done.subject, done.actor, done.source)


def _change_address(done: _Confirmed) -> None:
    person, old = done.subject, done.subject.email
    person.email = people.free_address(done.request.details["email"])
    person.no_links_until = ledger.clock() + people.NO_LINKS
    person.save(update_fields=["email", "no_links_until"])
    deactivation.forget_other_addresses(person)
    done.note(EventKind.ACCESS_ADDRESS_CHANGED, person)
    # To the old address: its owner can object before any link goes to the new one.
    send(Notice.ADDRESS_CHANGED, [old], gettext_lazy("Your address was changed"))


def _shorten(done: _Confirmed) -> None:
    request = done.request
    cooling_off.shorten(_change_of(request), actor=done.actor, source=done.source, reason=request.reason)


def _change_of(request: OperatorRequest) -> cooling_off.Change:
    details = request.details
    return cooling_off.Change(Product(details["product"]), details["before"], details["after"])


_ACTS: dict[RequestKind, Callable[[_Confirmed], None]] = {
    RequestKind.OPERATOR: _make_operator,
    RequestKind.LINK: _send_link,
    RequestKind.SECOND_FACTORS: _remove_confirmed,
    RequestKind.ADDRESS: _change_address,
    RequestKind.COOLING_OFF: _shorten,
}


# --- Helpers ---------------------------------------------------------------------------------------------------------


def _checked(kind: RequestKind, subject: User | None, email: str, name: str) -> tuple[User | None, dict[str, Any]]:
    """The subject as stored now, and the details to store. Raises Invalid and Refused."""
    subject = User.objects.filter(pk=subject.pk).first() if subject else None
    if kind == RequestKind.OPERATOR and subject is None:
        address = members.clean_email(email)
        subject = User.objects.filter(email=address).first()
        if subject is None:
            return None, {"email": address, "name": layers.clean_name(name)}
    if subject is None:
        raise Invalid("required", _("Give the person that the request is about."), "subject")
    if kind == RequestKind.ADDRESS:
        return subject, {"email": people.free_address(email)}
    operator = subject.is_active and subject.is_staff
    if kind == RequestKind.OPERATOR and operator:
        raise Refused("status", _("This person is an operator already."))
    if kind in (RequestKind.LINK, RequestKind.SECOND_FACTORS) and not operator:
        raise Refused("status", _("This person is not an operator: you can do this alone, on their page."))
    if kind == RequestKind.LINK:
        people.check_link(subject)
    return subject, {}


def _checked_days(product: str, days: int) -> dict[str, Any]:
    """The details to store. Raises Invalid; Refused for days that one operator may set alone, and in quarantine."""
    wanted = cooling_off.change_to(product, days)
    if not wanted.shortens:
        raise Refused("days", _("That is no shorter than now: you can do this alone, on the product's page."), "days")
    quarantine.refuse()  # as for a job that loosens: it is not even asked for
    return {"product": wanted.product.value, "before": wanted.before, "after": wanted.after}


def _about_the_same(
    waiting: QuerySet[OperatorRequest], subject: User | None, details: dict[str, Any]
) -> QuerySet[OperatorRequest]:
    if "product" in details:  # whatever the days: a second one would be refused once the first is confirmed
        return waiting.filter(details__product=details["product"])
    return waiting.filter(subject=subject) if subject else waiting.filter(details=details)


def _locked(request: OperatorRequest) -> OperatorRequest:
    rows = OperatorRequest.objects.select_for_update(of=("self",)).select_related("asked_by", "subject", "confirmed_by")
    return rows.get(pk=request.pk)


def _check_confirmer(request: OperatorRequest, actor: Actor) -> User:
    involved = (request.asked_by_id, request.subject_id)
    return require_second_person(people.in_person(actor), asked_at=request.asked_at, involved=involved)


def _still_open(request: OperatorRequest) -> None:
    """Raise Refused if it is decided or has expired, or its asker has not been an operator all along."""
    if request.status != RequestStatus.WAITING:
        raise Refused("decided", _("This request has been decided already: %s.") % request.get_status_display())
    if request.expires_at <= ledger.clock():
        raise Refused("ended", _("This request is no longer valid. Ask again."))
    _still_asker(request)


def _still_asker(request: OperatorRequest) -> None:
    # Locked, so that the asker's role can't end before the act is done.
    asker = User.objects.select_for_update().get(pk=request.asked_by_id)
    if not is_operator_since(asker, request.asked_at):
        raise Refused("asker", _("The person who asked for this is no longer an operator."))


def _decide(request: OperatorRequest, person: User, status: RequestStatus) -> None:
    request.status, request.decided_by, request.decided_at = status, person, ledger.clock()
    request.save(update_fields=["status", "decided_by", "decided_at", "confirmed_by"])


def _note(
    kind: EventKind, request: OperatorRequest, actor: Actor, source: str, *, target: object = "", **more: Any
) -> None:
    about = target or request.subject_id or request.pk
    trail.note(kind, organization=None, actor=actor, source=source, target=about, **more)
