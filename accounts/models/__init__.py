"""Users, organizations and their members, plans and subscriptions, API keys. Nothing here writes an event."""

from .api_keys import INSTALLATION_SCOPES, OPERATOR_SCOPES, ApiKey, KeyScope
from .bindings import Binding
from .invitations import Invitation
from .limits import RateCount
from .name_words import NameWord
from .organizations import Member, MemberRole, MemberStatus, Organization, OrganizationKind, OrganizationStatus
from .outbox import OutgoingMessage
from .plans import Plan, Subscription
from .querysets import ApiKeyQuerySet, MemberQuerySet
from .users import AddressChange, DeviceRevocation, User

__all__ = [
    "INSTALLATION_SCOPES",
    "OPERATOR_SCOPES",
    "AddressChange",
    "ApiKey",
    "ApiKeyQuerySet",
    "Binding",
    "DeviceRevocation",
    "Invitation",
    "KeyScope",
    "Member",
    "MemberQuerySet",
    "MemberRole",
    "MemberStatus",
    "NameWord",
    "Organization",
    "OrganizationKind",
    "OrganizationStatus",
    "OutgoingMessage",
    "Plan",
    "RateCount",
    "Subscription",
    "User",
]
