"""What happens by an act, in words, read off before and after its service ran.

Each function runs the service, and returns its result and the consequences, for `asking.once_confirmed`.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.access import MANAGING_ROLES, ROLE_PERMISSIONS, Actor, Permission
from accounts.models import ApiKey, Member, MemberRole, Organization

from ..models import Consumer, EndpointStatus, PausedBecause, WebhookEndpoint
from ..rules import Choice, Reason
from ..services import cooling_off
from . import privacy_settings
from .asking import Consequences, Effect
from .privacy_settings import SettingView
from .sentences import day

Told = tuple[Any, Consequences | None]
Service = Callable[[], Any]


# --- An organization's data -------------------------------------------------------------------------------------------


def of_organization(
    organization: Organization, actor: Actor, service: Service, *, title: str, submit: str, lines: Sequence[str] = ()
) -> Told:
    """Run a service that may change what may be done with an organization's data, and tell each setting it changed."""
    before = _settings(organization, actor)
    result = service()
    organization.refresh_from_db()
    after = _settings(organization, actor)
    changed = [(before[key], then) for key, then in after.items() if then.version != before[key].version]
    if not changed:
        return result, None
    effects = [
        Effect(str(then.surface.product.label), now.sentence, then.sentence, [_use(now, then), *_of_choice(now, then)])
        for now, then in changed
    ]
    return result, Consequences(title, submit, lines, effects, [then.version for _now, then in changed])


def _settings(organization: Organization, actor: Actor) -> dict[str, SettingView]:
    return {each.surface.key: each for each in privacy_settings.organization_settings(organization, actor)}


def _use(now: SettingView, then: SettingView) -> str:
    if now.is_in and not then.is_in:
        return _("From now on this data is not used.")
    if then.is_in and not now.is_in:
        return _("What comes in from now on may be used; earlier data is not.")
    return _("It may be used, as before.") if then.is_in else _("It is not used, as before.")


def _of_choice(now: SettingView, then: SettingView) -> list[str]:
    if now.choice == Choice.OPTED_IN and then.choice == Choice.DEFAULT:
        return [_("The opt-in is dropped: under this plan an owner or admin has to opt in again.")]
    if now.choice == Choice.OPTED_OUT:
        return [_("The choice to opt out stays.")]
    if now.choice == Choice.OPTED_IN:
        kept = _("The choice to opt in stays, and counts again once nothing stands against it.")
        return [_("The choice to opt in stays.") if then.is_in else kept]
    if then.reason_code == Reason.CARRIED_OVER and now.carried_from != then.carried_from:
        return [_("Nobody opted in, so “not used” is carried over until an owner or admin opts in.")]
    return []


def of_cooling_off(wanted: cooling_off.Change, service: Service) -> Told:
    """Run a service that sets the days of a product's cooling-off, or asks another operator to confirm fewer."""
    if wanted.shortens:
        title = _("Ask another operator to shorten the cooling-off of %(product)s?")
        submit = _("Ask another operator")
        lines = [
            _("Nothing changes until another operator confirms it."),
            _("Then data that is old enough may be used at once, wherever the choices allow it."),
            _("Whoever opts out has less time to do so before what they said may be used."),
        ]
    else:
        title, submit = _("Lengthen the cooling-off of %(product)s?"), _("Lengthen it")
        lines = [
            _("From now on, data that is not yet old enough is not used, even where it could be used until now."),
            _("Nothing that is not used now will be used because of this."),
            _("Shortening it again needs another operator."),
        ]
    effect = Effect(str(wanted.product.label), use_after(wanted.before), use_after(wanted.after), lines)
    return service(), Consequences(title % {"product": wanted.product.label}, submit, effects=[effect])


def use_after(days: int) -> str:
    """From when on data is used, where the choices allow it."""
    if not days:
        return _("Data may be used at once.")
    words = ngettext(
        "Data may be used once it is %(days)s day old.", "Data may be used once it is %(days)s days old.", days
    )
    return words % {"days": formats.number_format(days, force_grouping=True)}


# --- Members ----------------------------------------------------------------------------------------------------------


def of_leaving(member: Member, service: Service) -> Told:
    """Run a service that ends a membership; nothing to tell if it has ended already."""
    if member.has_left:
        return service(), None
    words = {"member": member.user, "organization": member.organization}
    return _of_member(member, service, _("Remove %(member)s from %(organization)s?") % words, _("Remove them"))


def of_lesser_role(member: Member, service: Service) -> Told:
    """Run a service that gives a member a lesser role."""
    title = _("Give %(member)s a lesser role?") % {"member": member.user}
    return _of_member(member, service, title, _("Change the role"))


def _of_member(member: Member, service: Service, title: str, submit: str) -> Told:
    """Both may suspend what the person is responsible for (R18)."""
    organization, role = member.organization, MemberRole(member.role)
    live = _credentials(member)
    result = service()
    member.refresh_from_db()
    suspended = len(live - _credentials(member))
    if member.has_left:
        lines = [
            _("They are no longer a member of %(organization)s, and its pages no longer open for them.")
            % {"organization": organization},
            _("What they use from then on does not count as this organization's. Their own choice is kept."),
        ]
    else:
        lines = [
            _("Their role was %(before)s, and will be: %(after)s.")
            % {"before": role.label, "after": member.get_role_display()},
            *_lost(role, MemberRole(member.role)),
        ]
    if suspended:
        lines.append(
            ngettext(
                "%(count)s key or webhook that they are responsible for stops, until somebody takes it over.",
                "%(count)s keys and webhooks that they are responsible for stop, until somebody takes them over.",
                suspended,
            )
            % {"count": suspended}
        )
    return result, Consequences(title, submit, lines, seen=[role, *sorted(map(str, live))])


def _lost(before: MemberRole, after: MemberRole) -> list[str]:
    lines = []
    if before in MANAGING_ROLES and after not in MANAGING_ROLES:
        lines.append(_("They can no longer change the organization's choices, members, keys and webhooks."))
    if Permission.CONSENT_VIEW in ROLE_PERMISSIONS[before] - ROLE_PERMISSIONS[after]:
        lines.append(_("They no longer see the organization's settings, members and history."))
    if before == MemberRole.OWNER:
        lines.append(_("What owners are told by e-mail no longer comes to them."))
    return lines


def _credentials(member: Member) -> set[uuid.UUID]:
    """The keys and webhooks that this person is responsible for in the organization, and that work."""
    keys = ApiKey.objects.filter(organization=member.organization, issued_by=member.user, suspended_at=None)
    hooks = WebhookEndpoint.objects.filter(organization=member.organization, created_by=member.user)
    hooks = hooks.exclude(paused_because=PausedBecause.SUSPENDED)
    return {*keys.filter(revoked_at=None).values_list("pk", flat=True), *hooks.values_list("pk", flat=True)}


# --- Keys and webhooks ------------------------------------------------------------------------------------------------


def of_revoking(key: ApiKey, service: Service) -> Told:
    """Run a service that revokes a key; nothing to tell if it was revoked before."""
    used = _("It was last used on %(date)s.") % {"date": day(key.last_used_at)} if key.last_used_at else ""
    told = Consequences(
        _("Revoke %(key)s?") % {"key": key},
        _("Revoke the key"),
        [
            _("From now on, every request with this key is refused."),
            used or _("It was never used."),
            _("This can't be undone: what uses the key needs another one."),
        ],
    )
    result = service()
    return result, told if result else None


def of_taking_over(key: ApiKey, service: Service) -> Told:
    told = Consequences(
        _("Take %(key)s over?") % {"key": key},
        _("Take the key over"),
        [
            _("It gets a new secret, which only you are shown."),
            _("The old secret stops working at once: what uses the key needs the new one."),
            _("You become responsible for this key: it may do no more than you may."),
        ],
        # The hash, so that a form that is sent twice doesn't replace the secret that was shown.
        seen=[key.hash, key.suspended_at, key.issued_by_id],
    )
    return service(), told


def of_another_secret(service: Service) -> Told:
    held = service()
    lines = [
        _("Messages to %(url)s are signed with a new secret, which only you are shown.") % {"url": held.url},
        _("For a day the old secret signs too. After that, whoever checks with the old one refuses the messages."),
        _("You become responsible for this webhook."),
    ]
    told = Consequences(_("Replace the webhook's secret?"), _("Replace the secret"), lines, seen=[held.generation])
    return held, told


def of_taking_webhook_over(service: Service) -> Told:
    held = service()
    lines = [
        _("It stays paused.")
        if held.status == EndpointStatus.PAUSED
        else _("What it has not sent since it stopped is sent now, in order."),
        _("Messages to %(url)s are signed with a new secret alone, which only you are shown.") % {"url": held.url},
        _("You become responsible for this webhook."),
    ]
    return held, Consequences(_("Take the webhook over?"), _("Take it over"), lines, seen=[held.generation])


def of_deleting(endpoint: WebhookEndpoint, service: Service) -> Told:
    lines = [
        _("Nothing more is sent to %(url)s.") % {"url": endpoint.url},
        _("Its secret and the record of its attempts are deleted. The events stay in the history."),
        _("This can't be undone."),
    ]
    seen = [endpoint.pk, endpoint.status, endpoint.generation]
    return service(), Consequences(_("Delete the webhook?"), _("Delete the webhook"), lines, seen=seen)


# --- Consumers --------------------------------------------------------------------------------------------------------


def of_changing_consumer(consumer: Consumer, service: Service) -> Told:
    """Run a service that changes a consumer; asks only about datasets that are left out, and another webhook."""
    before, hook = _datasets(consumer), consumer.webhook
    held = service()
    lines = [
        _("Nothing waits for the dataset “%(name)s” any more: what it has yet to apply counts as applied.")
        % {"name": name}
        for name in sorted(before - _datasets(held))
        if name
    ]
    if hook is not None and held.webhook_id != hook.pk:
        lines.append(_("What is sent to %(url)s is no longer noted as delivered to it.") % {"url": hook.url})
    if not lines:
        return held, None
    title = _("Change %(consumer)s?") % {"consumer": held}
    return held, Consequences(title, _("Change it"), lines, seen=[*sorted(before), hook and hook.pk])


def _datasets(consumer: Consumer) -> set[str]:
    return set(consumer.datasets.filter(removed_at=None).values_list("name", flat=True))


def of_another_consumer_key(consumer: Consumer, service: Service) -> Told:
    lines = [
        _("It gets another key, which only you are shown."),
        _("The old key stops working at once: until the consumer has the new one, it can say nothing."),
        _("You become responsible for the new key."),
    ]
    title = _("Give %(consumer)s another key?") % {"consumer": consumer}
    return service(), Consequences(title, _("Replace the key"), lines, seen=[consumer.key_id])


def of_removing_consumer(consumer: Consumer, waiting: int, service: Service) -> Told:
    """`waiting`: how many events that tighten it has yet to apply."""
    held = ngettext(
        "%(count)s event that tightens waits for it now, and will wait for the others alone.",
        "%(count)s events that tighten wait for it now, and will wait for the others alone.",
        waiting,
    )
    lines = [
        held % {"count": waiting} if waiting else _("Nothing waits for it now."),
        _("From then on nobody sees whether it applies anything: remove it only if it has stopped using data."),
        _("Its key is revoked. What it said stays in the records."),
        _("This can't be undone: it would have to be registered anew."),
    ]
    title = _("Remove %(consumer)s?") % {"consumer": consumer}
    return service(), Consequences(title, _("Remove it"), lines, seen=[consumer.pk, consumer.key_id])
