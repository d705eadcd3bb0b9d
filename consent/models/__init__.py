"""All models of this app and the enumerations of their columns. Other modules import them from this package."""

from .asked import PEOPLE, AskedCount
from .consumers import AwaitedEvent, Consumer, ConsumerDataset, DailyHonour, PositionAdvance
from .cooling_off import MAX_DAYS, CoolingOff
from .event_kinds import (
    ABOUT,
    ACCESS,
    ACCESS_KINDS,
    INSTALLATION_KINDS,
    OF_NO_LAYER,
    PLAN_KINDS,
    TOLD_TO_ORGANIZATIONS,
    ActorType,
    EventKind,
    Source,
)
from .idempotency import IdempotencyKey
from .imports import ImportFile, ImportFilePart, ImportProblem, ImportRow, ImportTable, ProblemKind
from .installation import PASSING, Installation, Trouble
from .jobs import ENDED, OVER, UNFINISHED, BulkJob, BulkJobRow, JobKind, JobStatus, RebindRow
from .layer_state import STATE_FIELDS, Choice, LayerState, ReasonCode
from .ledger import ConsentEvent, EventPosition, PendingEvent
from .log import EventSalt, LogCheckpoint, LogOrigin, LogTile
from .notices import ActsSeen, MembersToTell, NoticeOff, ProviderAct
from .operator_requests import OperatorRequest, RequestKind, RequestStatus
from .projections import Backup, DailyChanges, DailyStanding, DailyWording, FollowerCursor, Verification
from .querysets import ConsentEventQuerySet, PrivacySettingQuerySet
from .restores import Restore
from .runs import (
    OpenRemoval,
    RemovalAcknowledgement,
    RemovalBatch,
    RemovalCursor,
    RemovalState,
    RunFile,
    RunRetirement,
    SnapshotMade,
    TrainingRun,
)
from .settings import Lock, PrivacySetting
from .webhooks import EndpointStatus, PausedBecause, WebhookAttempt, WebhookEndpoint
from .wordings import Wording

__all__ = [
    "ABOUT",
    "ACCESS",
    "ACCESS_KINDS",
    "ENDED",
    "INSTALLATION_KINDS",
    "MAX_DAYS",
    "OF_NO_LAYER",
    "OVER",
    "PASSING",
    "PEOPLE",
    "PLAN_KINDS",
    "STATE_FIELDS",
    "TOLD_TO_ORGANIZATIONS",
    "UNFINISHED",
    "ActorType",
    "ActsSeen",
    "AskedCount",
    "AwaitedEvent",
    "Backup",
    "BulkJob",
    "BulkJobRow",
    "Choice",
    "ConsentEvent",
    "ConsentEventQuerySet",
    "Consumer",
    "ConsumerDataset",
    "CoolingOff",
    "DailyChanges",
    "DailyHonour",
    "DailyStanding",
    "DailyWording",
    "EndpointStatus",
    "EventKind",
    "EventPosition",
    "EventSalt",
    "FollowerCursor",
    "IdempotencyKey",
    "ImportFile",
    "ImportFilePart",
    "ImportProblem",
    "ImportRow",
    "ImportTable",
    "Installation",
    "JobKind",
    "JobStatus",
    "LayerState",
    "Lock",
    "LogCheckpoint",
    "LogOrigin",
    "LogTile",
    "MembersToTell",
    "NoticeOff",
    "OpenRemoval",
    "OperatorRequest",
    "PausedBecause",
    "PendingEvent",
    "PositionAdvance",
    "PrivacySetting",
    "PrivacySettingQuerySet",
    "ProblemKind",
    "ProviderAct",
    "ReasonCode",
    "RebindRow",
    "RemovalAcknowledgement",
    "RemovalBatch",
    "RemovalCursor",
    "RemovalState",
    "RequestKind",
    "RequestStatus",
    "Restore",
    "RunFile",
    "RunRetirement",
    "SnapshotMade",
    "Source",
    "TrainingRun",
    "Trouble",
    "Verification",
    "WebhookAttempt",
    "WebhookEndpoint",
    "Wording",
]
