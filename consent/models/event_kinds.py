"""The enumerations of the ledger: what happened, who did it, and where."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class EventKind(models.TextChoices):
    ORGANIZATION_CREATED = "organization.created", _("Organization created")
    ORGANIZATION_UPDATED = "organization.updated", _("Organization details changed")
    ORGANIZATION_KIND_CHANGED = "organization.kind_changed", _("Kind of organization changed")
    ORGANIZATION_CLOSED = "organization.closed", _("Account closed")
    ORGANIZATION_REOPENED = "organization.reopened", _("Account reopened")
    MEMBER_JOINED = "member.joined", _("Member joined")
    MEMBER_UPDATED = "member.updated", _("Member details changed")
    MEMBER_ROLE_CHANGED = "member.role_changed", _("Role changed")
    MEMBER_LEFT = "member.left", _("Member left")
    SUBSCRIPTION_STARTED = "subscription.started", _("Subscription started")
    SUBSCRIPTION_ENDED = "subscription.ended", _("Subscription ended")
    PLAN_CHANGED = "plan.changed", _("Plan changed")
    PLAN_DEFAULT_CHANGED = "plan.default_changed", _("Default of the plan changed")
    CHOICE_OPTED_OUT = "choice.opted_out", _("Opted out")
    CHOICE_OPTED_IN = "choice.opted_in", _("Opted in")
    CHOICE_CONFIRMED = "choice.confirmed", _("Choice confirmed")
    CHOICE_RESTORED = "choice.restored", _("Choice restored")
    LOCK_PLACED = "lock.placed", _("Locked")
    LOCK_LIFTED = "lock.lifted", _("Lock lifted")
    SINCE_ATTESTED = "since.attested", _("Earlier start attested")
    SINCE_RESTARTED = "since.restarted", _("Begun anew after a restore")
    EXTERNAL_ID_GIVEN = "external_id.given", _("External id given")
    EXTERNAL_ID_WITHDRAWN = "external_id.withdrawn", _("External id withdrawn")
    EXTERNAL_ID_REBOUND = "external_id.rebound", _("External id given, after another had it")
    # The access trail: who granted, received or lost access. Only `services.trail.note` writes these.
    ACCESS_KEY_CREATED = "access.key_created", _("API key created")
    ACCESS_KEY_TAKEN_OVER = "access.key_taken_over", _("API key taken over")
    ACCESS_KEY_SUSPENDED = "access.key_suspended", _("API key suspended")
    ACCESS_KEY_REVOKED = "access.key_revoked", _("API key revoked")
    ACCESS_WEBHOOK_CREATED = "access.webhook_created", _("Webhook created")
    ACCESS_WEBHOOK_CHANGED = "access.webhook_changed", _("Webhook changed")
    ACCESS_WEBHOOK_PAUSED = "access.webhook_paused", _("Webhook paused")
    ACCESS_WEBHOOK_RESUMED = "access.webhook_resumed", _("Webhook resumed")
    ACCESS_WEBHOOK_SUSPENDED = "access.webhook_suspended", _("Webhook suspended")
    ACCESS_WEBHOOK_TAKEN_OVER = "access.webhook_taken_over", _("Webhook taken over")
    ACCESS_WEBHOOK_REPLAYED = "access.webhook_replayed", _("Webhook sent back to an earlier event")
    ACCESS_WEBHOOK_SECRET_ROTATED = "access.webhook_secret_rotated", _("Signing secret of a webhook replaced")
    ACCESS_WEBHOOK_DELETED = "access.webhook_deleted", _("Webhook deleted")
    ACCESS_INVITATION_SENT = "access.invitation_sent", _("Invitation sent")
    ACCESS_INVITATION_WITHDRAWN = "access.invitation_withdrawn", _("Invitation withdrawn")
    ACCESS_INVITATION_ACCEPTED = "access.invitation_accepted", _("Invitation accepted")
    ACCESS_SECOND_FACTOR_ADDED = "access.second_factor_added", _("Second factor added")
    ACCESS_SECOND_FACTOR_REMOVED = "access.second_factor_removed", _("Second factor removed")
    ACCESS_PASSWORD_SET = "access.password_set", _("First password set")
    ACCESS_PASSWORD_CHANGED = "access.password_changed", _("Password changed")
    ACCESS_PASSWORD_RESET = "access.password_reset", _("Password reset by a link")
    ACCESS_PASSWORD_LINK_SENT = "access.password_link_sent", _("Link for a new password sent")
    ACCESS_ADDRESS_CHANGED = "access.address_changed", _("E-mail address changed")
    ACCESS_ACCOUNT_CREATED = "access.account_created", _("Person added")
    ACCESS_ACCOUNT_DEACTIVATED = "access.account_deactivated", _("Person deactivated")
    ACCESS_ACCOUNT_REACTIVATED = "access.account_reactivated", _("Person reactivated")
    ACCESS_ACCOUNT_ERASED = "access.account_erased", _("Person erased")
    ACCESS_OPERATOR_MADE = "access.operator_made", _("Operator added")
    ACCESS_OPERATOR_ENDED = "access.operator_ended", _("Operator removed")
    ACCESS_OPERATOR_REACTIVATED = "access.operator_reactivated", _("Operator reactivated")
    ACCESS_REQUEST_MADE = "access.request_made", _("Asked for a second operator's confirmation")
    ACCESS_REQUEST_CONFIRMED = "access.request_confirmed", _("Confirmed by a second operator")
    ACCESS_REQUEST_DECLINED = "access.request_declined", _("Declined, or withdrawn, before a second operator confirmed")
    ACCESS_DATA_EXPORTED = "access.data_exported", _("Data exported")
    # Not about access, but like it: the provider's own act, about no organization and no layer.
    ACCESS_PLAN_CREATED = "access.plan_created", _("Plan created")
    ACCESS_PLAN_EDITED = "access.plan_edited", _("Plan edited")
    # About the whole installation: the provider's own acts on the way from a choice to training.
    COOLING_OFF_CHANGED = "cooling_off.changed", _("Cooling-off period changed")
    CONSUMER_REGISTERED = "consumer.registered", _("Consumer registered")
    CONSUMER_CHANGED = "consumer.changed", _("Consumer changed")
    CONSUMER_REMOVED = "consumer.removed", _("Consumer removed")
    RUN_REGISTERED = "run.registered", _("Training run registered")
    RUN_RETIRED = "run.retired", _("Training run retired")
    REMOVAL_ISSUED = "removal.issued", _("Removal issued")
    REMOVAL_ACKNOWLEDGED = "removal.acknowledged", _("Removal acknowledged")
    # Of a database that was restored to an earlier moment.
    RESTORE_ADOPTED = "restore.adopted", _("Restored database adopted")
    RESTORE_WITNESS_REBUILT = "restore.witness_rebuilt", _("Witness begun anew")
    POSITION_LOST = "position.lost", _("Lost by a restore")
    LOG_SALT_ERASED = "log.salt_erased", _("Link to the log erased")


ACCESS = "access."
ACCESS_KINDS = frozenset(kind for kind in EventKind if kind.startswith(ACCESS))
# The provider's own acts: about no organization, told to operators alone.
INSTALLATION_KINDS = frozenset(
    kind
    for kind in EventKind
    if kind.startswith(("cooling_off.", "consumer.", "run.", "removal.", "restore.", "position.", "log."))
)
OF_NO_LAYER = ACCESS_KINDS | INSTALLATION_KINDS
PLAN_KINDS = frozenset({EventKind.ACCESS_PLAN_CREATED, EventKind.ACCESS_PLAN_EDITED})
# Prefixes of the access kinds that an organization may see. The others concern one person, or the provider.
_TOLD = ("access.key_", "access.webhook_", "access.invitation_", "access.data_exported")
TOLD_TO_ORGANIZATIONS = frozenset(EventKind) - {kind for kind in OF_NO_LAYER if not kind.startswith(_TOLD)}

# Filters of a history: `use` is how data may be used, `access` who may do what. Joining and leaving are in both.
ABOUT = {
    "use": frozenset(EventKind) - ACCESS_KINDS - {EventKind.MEMBER_ROLE_CHANGED},
    "access": ACCESS_KINDS | {EventKind.MEMBER_JOINED, EventKind.MEMBER_ROLE_CHANGED, EventKind.MEMBER_LEFT},
}


class ActorType(models.TextChoices):
    USER = "user", _("Person")
    API_KEY = "api_key", _("API key")
    COMMAND = "command", _("Command")
    SYSTEM = "system", _("System")


class Source(models.TextChoices):
    CONSOLE = "console", _("Admin Console")
    DATA_CONTROLS = "data_controls", _("Data & Account Controls")
    ACCOUNT = "account", _("Sign-in and security")
    IOS = "ios", _("iOS app")
    ANDROID = "android", _("Android app")
    API = "api", _("API")
    ADMIN = "admin", _("Operators' site")
    COMMAND = "command", _("Command")
    IMPORT = "import", _("Import")
