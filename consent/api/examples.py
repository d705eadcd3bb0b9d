"""Examples for the OpenAPI description: one of each serializer, by its class name, and those of the plain views."""

from typing import Any

from ..presentation.event_catalogue import catalogue
from ..proofs.note import Verifier
from ..proofs.receipt import Receipt
from ..surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE

_ID, _MEMBER, _KEY = (f"0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e{n}" for n in ("5f", "6a", "7b"))
_AT = "2026-11-20T09:30:00Z"
_DIGEST = "9bc20e67838d85356b92a553433e27a0901dbecf07010209777a4ad01ca1ad89"

_FILE = {"name": "members-000.parquet", "table": "members", "rows": 3, "size": 2481, "sha256": _DIGEST}
_WORDING = {
    "wording": LE_CHAT_CONSOLE.wording, "language": "en", "texts": {"question": "Allow training on this data?"},
    "sha256": _DIGEST, "valid_from": _AT,
}  # fmt: skip

EXAMPLES: dict[str, Any] = {
    "ProductOutput": {
        "key": "le_chat", "name": "Le Chat", "cooling_off_days": 0,
        "data_kinds": ["conversation", "document", "output", "other"],
    },
    "PlanOutput": {
        "key": "le_chat_free", "product": "le_chat", "name": "Le Chat Free", "description": "For one person, free.",
        "training_default": "opted_in",
    },
    "SurfaceOutput": {
        "key": "le_chat_console", "product": "le_chat", "scope": "organization",
        "path": ["Manage", "Le Chat", "Privacy"],
        "label": "Allow your interactions to be used to train our models", "covers": "All Le Chat data",
        "wordings": [_WORDING],
    },
    "WordingOutput": _WORDING,
    "ShownInput": {"wording": LE_CHAT_MOBILE.wording, "language": "fr", "app_version": "4.2"},
    "EventKindOutput": next(each for each in catalogue() if each["kind"] == "choice.opted_out"),
    "OrganizationOutput": {
        "id": _ID, "external_id": "acme", "name": "Acme", "kind": "team", "country": "FR", "status": "active",
        "subscriptions": {"le_chat": "le_chat_free", "ai_studio": None}, "created_at": _AT,
    },
    "InvitationOutput": {"id": _KEY, "email": "ada@acme.example", "role": "member", "expires_at": _AT},
    "OrganizationInput": {
        "name": "Acme", "kind": "team", "external_id": "acme", "country": "FR",
        "subscriptions": {"le_chat": "le_chat_free"},
    },
    "OrganizationChange": {"name": "Acme SAS"},
    "SubscriptionInput": {"plan": "le_chat_teams", "reason": "Upgraded"},
    "ReasonInput": {"reason": "Ended by the customer"},
    "MemberOutput": {
        "id": _MEMBER, "external_id": "ada", "email": "ada@acme.example", "name": "Ada Lindqvist", "role": "admin",
        "status": "active",
    },
    "WithdrawalInput": {"reason": "Given by mistake, ticket 4711"},
    "MemberInput": {"email": "ada@acme.example", "name": "Ada Lindqvist", "role": "admin", "external_id": "ada"},
    "MemberChange": {"role": "auditor"},
    "SettingOutput": {
        "surface": "le_chat_console", "product": "le_chat",
        "label": "Allow your interactions to be used to train our models", "choice": "default",
        "effective": "opted_in", "reason": "plan_default", "since": _AT, "locked": False, "lock_reason": None,
        "carried_from": None, "members_opted_out": None, "changed_at": None, "changed_by": None, "event": None,
    },
    "ChoiceInput": {"choice": "opted_out"},
    "MemberChoiceInput": {
        "choice": "opted_out", "source": "ios",
        "shown": {"wording": LE_CHAT_MOBILE.wording, "language": "fr", "app_version": "4.2"},
    },
    "LockInput": {"reason": "Contract 7", "reference": "CRM-7"},
    "LiftInput": {"reason": "The contract has ended"},
    "EventOutput": {
        "id": "42", "position": 41, "epoch": 1, "recorded_at": _AT, "kind": "choice.opted_out", "organization": _ID,
        "member": None, "product": "le_chat", "surface": "le_chat_console", "before": "default",
        "after": "opted_out", "target": None, "url": None, "allowed": False,
        "actor": {"type": "user", "id": _MEMBER, "label": "Ada Lindqvist"},
        "source": "console", "reason": "", "request_id": "0190b5d27c1e7a409f3e5a1c2b3d4e5f",
        "wording": LE_CHAT_CONSOLE.wording, "language": "en", "app_version": None,
    },
    "ReceiptOutput": Receipt(
        body=(
            '{"actor_id":"0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e6a","after":"opted_out","allowed":false,"before":"default",'
            '"by_operator":false,"id":"42","kind":"choice.opted_out","member":null,'
            '"organization":"0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f","position":"1","product":"le_chat","reason":"",'
            '"recorded_at":"1795167000000000","reference":"","since":"1795167000000000","surface":"le_chat_console",'
            '"v":"1","wording":"le_chat_console/2"}'
        ),
        salt=bytes(32),
        index=0,
        proof=(),
        checkpoint=(
            "portal.example/log\n1\npAXmd/wxKkXzgupISsO+WVry69B83BI8WbQW2OGLeZE=\n\n"
            "— portal.example/log RubGXL20ynCSFI38LGyk9CCjc+Irh8mYYu2mKbSKhYkUAwbIH2FbcERG4YVLObplBOFYIOHpRFFY9d+GuZ5u"
            "QE1YowQ=\n"
        ),
    ).data(Verifier.parse("portal.example/log+46e6c65c+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4")),
    "BulkJobInput": {
        "surface": "le_chat_console", "choice": "opted_out", "select": {"plan": ["le_chat_pro"]}, "dry_run": True,
    },
    "BulkJobOutput": {
        "id": _ID, "kind": "choice", "status": "previewed", "surface": "le_chat_console", "plan": None,
        "table": None, "choice": "opted_out", "reason": "", "select": {"plan": ["le_chat_pro"]}, "undoes": None,
        "loosens": False, "digest": _DIGEST, "matched": 3, "processed": 0, "changed": 2, "unchanged": 1,
        "refused": 0, "refused_because": {}, "rate": 0, "eta": None,
        "author": {"id": _MEMBER, "label": "Odin Eriksen", "api_key": _KEY}, "submitter": None, "approver": None,
        "created_at": _AT, "submitted_at": None, "approved_at": None, "started_at": None, "finished_at": None,
        "error": None,
    },
    "BulkJobRowOutput": {
        "row": 1, "organization": _ID, "member": None, "external_id": "acme", "choice": "opted_out", "refusal": None,
        "name": "Acme", "plan": "le_chat_pro", "before": "default", "after": "opted_out", "used_before": True,
        "used_after": False, "since": None,
    },
    "SnapshotFileOutput": _FILE,
    "SnapshotOutput": {"position": 41, "decided_at": _AT, "manifest_sha256": _DIGEST, "files": [_FILE]},
    "EndpointInput": {"url": "https://hooks.example.com/consent", "kinds": ["choice.opted_out"]},
    "EndpointChange": {"status": "paused"},
    "EndpointOutput": {
        "id": _ID, "organization": None, "url": "https://hooks.example.com/consent", "description": "",
        "kinds": ["choice.opted_out"], "status": "active", "paused_because": None, "position": 41, "failures": 0,
        "next_attempt_at": None, "created_at": _AT,
    },
    "AskedOutput": {
        "day": "2026-11-20", "asker": "key", "api_key": _KEY, "allowed": False, "reason": "organization_opted_out",
        "questions": 12408,
    },
    "ConsumerOutput": {
        "id": _ID, "name": "dataset-builder", "purpose": "Builds the training datasets",
        "contact": "data@provider.example",
        "expected_lag_minutes": 60, "api_key": _KEY, "webhook": None, "delivered": 0,
        "datasets": [{"name": "chat", "starts_after": 12, "position": 41, "said_at": _AT}],
        "registered_at": _AT, "removed_at": None,
    },
    "PositionInput": {"position": 41, "dataset": "chat"},
    "MeOutput": {
        "type": "user", "id": _MEMBER, "name": "Ada Lindqvist", "operator": False, "organization": None, "scopes": None,
        "email": "ada@acme.example",
        "memberships": [{"organization": _ID, "name": "Acme", "member": _KEY, "role": "owner"}], "confirmed": True,
    },
    "ApiKeyInput": {"name": "Billing", "scopes": ["decisions:read"], "organization": _ID, "expires_at": None},
    "ApiKeyOutput": {
        "id": _KEY, "name": "Billing", "prefix": "tck_Ab3dEf7h", "organization": _ID, "scopes": ["decisions:read"],
        "status": "active", "responsible": {"id": _MEMBER, "label": "Ada Lindqvist"}, "installation": False,
        "created_at": _AT, "expires_at": None, "suspended_at": None, "revoked_at": None, "last_used_at": None,
    },
    "ReplayInput": {"after": 17},
    "AttemptOutput": {
        "id": "7", "position": 41, "at": _AT, "delivered": True, "status": 200, "error": "", "latency_ms": 38,
        "answer": "thanks", "waiting": False,
    },
    "NothingInput": {},
    "ApproveInput": {"digest": _DIGEST},
    "ProblemOutput": {
        "type": "about:blank", "title": "Bad Request", "status": 400, "code": "invalid",
        "detail": "#/choice: This field is required.",
        "errors": [{"pointer": "#/choice", "detail": "This field is required."}],
        "request_id": "0190b5d27c1e7a409f3e5a1c2b3d4e5f",
    },
}  # fmt: skip
_SNAPSHOT = {"position": 41, "decided_at": _AT, "manifest_sha256": _DIGEST}
_COUNT = {"product": "le_chat", "data_kind": "conversation", "reason": None, "rows": 62000}
_FILE = {"name": "part-000.parquet", "rows": 62000, "size": 5200318, "sha256": _DIGEST}
_NOTE = "portal.example/log\n57\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— portal.example/log RubGXG…\n"
_ENTRIES = {"level": "organization", "product": "le_chat", "reason": "organization_opted_out", "entries": 3}
EXAMPLES |= {
    "RunOutput": {
        "id": _ID, "name": "R-77", "external_id": "exp-12", "purpose": "The next small model", "snapshot_position": 41,
        "last_position": 41, "snapshots": [_SNAPSHOT], "dataset_digest": _DIGEST, "manifest_sha256": _DIGEST,
        "counts": [_COUNT, {**_COUNT, "reason": "organization_opted_out", "rows": 138000}], "allowed": 62000,
        "denied": 138000, "registered_at": _AT, "retired_at": None,
    },
    "ManifestOutput": {
        "payload": "eyJfdHlwZSI6…", "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "ac2e6ab4b1b6d1c7", "sig": "qWc3…"}],
    },
    "RunInput": {
        "name": "R-77", "external_id": "exp-12", "purpose": "The next small model",
        "reports": [{
            "format": 1, "snapshot": {"position": 41, "decided_at": 1795167000000000, "manifest_sha256": _DIGEST},
            "inputs": [{**_FILE, "name": "raw-000.parquet", "rows": 200000}],
            "outputs": {"allowed": [_FILE], "denied": []},
            "counts": [_COUNT, {**_COUNT, "reason": "organization_opted_out", "rows": 138000}],
            "read": 200000, "allowed": 62000, "denied": 138000,
        }],
    },
    "RetireInput": {"reason": "Replaced by R-81"},
    "EntryOutput": {
        "level": "organization", "organization": _ID, "member": None, "product": "le_chat", "keep_from": None,
        "keep_until": None, "reason": "organization_opted_out", "position": 57,
    },
    "RemovalBatchOutput": {
        "id": _KEY, "run": _ID, "number": 1, "from_position": 41, "to_position": 60, "entries": 3, "counts": [_ENTRIES],
        "digest": _DIGEST, "issued_at": _AT, "due_at": _AT, "state": "open", "acknowledgement": None,
    },
    "AcknowledgeInput": {"removed": 920, "evidence": _DIGEST, "note": "By merge, then trained again"},
}  # fmt: skip
EXAMPLES["RunWithFiles"] = EXAMPLES["RunOutput"] | {
    "files": [{**_FILE, "position": 41}], "checkpoint": {"log": "portal.example/log", "size": 57, "note": _NOTE},
}  # fmt: skip
EXAMPLES["IssuedOutput"] = {"batch": EXAMPLES["RemovalBatchOutput"]}
EXAMPLES["MemberFound"] = EXAMPLES["MemberOutput"] | {"organization": _ID}
EXAMPLES["SettingsOfOrganization"] = {
    "organization": _ID, "external_id": "acme", "settings": [EXAMPLES["SettingOutput"]],
}  # fmt: skip
EXAMPLES["ApiKeyWithText"] = EXAMPLES["ApiKeyOutput"] | {"key": "tck_Ab3dEf7h_…"}
EXAMPLES["EndpointWithSecret"] = EXAMPLES["EndpointOutput"] | {"secret": "whsec_…"}
_CHANGE = {"before": "default", "after": "opted_out", "used_before": True, "used_after": False, "outcome": "change"}
EXAMPLES["BulkJobPreview"] = EXAMPLES["BulkJobOutput"] | {
    "summary": [{"plan": "le_chat_pro", **_CHANGE, "count": 2}],
    "sample": [{"organization": _ID, "external_id": "acme", "name": "Acme", **_CHANGE}],
}  # fmt: skip

QUESTION = {"organization": "external:acme", "member": "external:ada", "product": "le_chat", "collected_at": _AT}
DECISION = {
    "allowed": True, "reason": "plan_default",
    "detail": "Acme follows the default of its plan: opted in.", "decided_at": _AT,
}  # fmt: skip
EVALUATION = {
    "subject": {"type": "member", "id": _MEMBER},
    "action": {"name": "train"},
    "resource": {"type": "product", "id": "le_chat"},
}
EVALUATED = {"decision": True, "context": {"reason": "plan_default"}}
