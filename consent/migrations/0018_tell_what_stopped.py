"""Whose keys, webhooks and external ids the migrations before this one have stopped is told so, by e-mail.

Of keys and webhooks (accounts 0013, consent 0012; R18) the owners, without one the operators; of external ids that
became one spelling (consent 0016; R16) the operators. By e-mail alone: with an event in the ledger nobody could go back
to the version before, which has no place for it.
"""

from collections import defaultdict

from django.conf import settings
from django.db import migrations

SUSPENDED = (
    "API keys or webhooks have been suspended",
    "From now on, API keys and webhooks are worth what the person responsible for them may do. These no longer work:",
    "They stay suspended until an owner, an admin or an operator takes them over. Each gets a new secret by that.",
)
CONTESTED = (
    "External ids that mean nobody any more",
    "From now on, an external id means one customer, however it is spelled. By these, spelled alike, nobody is found:",
    "On the operators' site under Bulk change, External ids moved to others, each can be given to one of them again.",
)
LISTED = 500  # lines of a message


def tell(apps, _editor):
    for organization_id, lines in _suspended(apps).items():
        organization = apps.get_model("accounts", "Organization").objects.filter(pk=organization_id).first()
        name = organization.name if organization else settings.PROVIDER_NAME
        _send(apps, _readers(apps, organization_id), SUSPENDED, lines, name=name)
    if lines := _contested(apps):
        _send(apps, _readers(apps, None), CONTESTED, lines, name=settings.PROVIDER_NAME)


def _send(apps, readers, words, lines, *, name):
    subject, why, what_next = words
    listed = [f"- {each}" for each in lines[:LISTED]]
    if len(lines) > LISTED:
        listed.append(f"- and {len(lines) - LISTED:,} more")
    body = "\n".join([f"{name}: {why}", "", *listed, "", what_next, ""])
    Message = apps.get_model("accounts", "OutgoingMessage")
    Message.objects.bulk_create([Message(recipient=each, subject=subject, body=body) for each in readers])


def _suspended(apps):
    """Organization, or None for the provider → what of it is; without those that the ledger has told of already."""
    keys = list(apps.get_model("accounts", "ApiKey").objects.filter(suspended_at__isnull=False, revoked_at=None))
    hooks = list(apps.get_model("consent", "WebhookEndpoint").objects.filter(paused_because="suspended"))
    lost = defaultdict(list)
    if not keys and not hooks:
        return lost
    kinds = ("access.key_created", "access.key_suspended", "access.webhook_suspended")
    events = apps.get_model("consent", "ConsentEvent").objects.filter(kind__in=kinds)
    told = set(events.values_list("target", flat=True))
    for key in keys:
        if str(key.pk) not in told:
            lost[key.organization_id].append(f"API key “{key.name}” ({key.prefix}…)")
    for hook in hooks:
        if str(hook.pk) not in told:
            lost[hook.organization_id].append(f"Webhook to {hook.url}")
    return lost


def _contested(apps):
    """Repeated as it was written, with what can't be seen in it made visible."""
    bindings = apps.get_model("accounts", "Binding").objects.filter(contested=True).exclude(value="").order_by("pk")
    lines = []
    for each in bindings.iterator(2_000):
        text = each.spelled.encode("unicode_escape").decode() if not each.spelled.isprintable() else each.spelled
        member = f", its member {each.member_id}" if each.member_id else ""
        lines.append(f"“{text}” of organization {each.organization_id}{member}")
    return lines


def _readers(apps, organization_id):
    people = apps.get_model("accounts", "User").objects.filter(is_active=True).order_by("pk")
    if organization_id is not None:
        owners = apps.get_model("accounts", "Member").objects.filter(
            organization_id=organization_id, role="owner", status="active"
        )
        if found := list(people.filter(pk__in=owners.values("user_id")).values_list("email", flat=True)):
            return found
    return list(people.filter(is_staff=True).values_list("email", flat=True))


class Migration(migrations.Migration):
    dependencies = [("consent", "0017_webhook_paused_before"), ("accounts", "0015_bindings")]

    operations = [migrations.RunPython(tell, migrations.RunPython.noop)]
