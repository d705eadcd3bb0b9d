"""An event as a consent record, in the shape of ISO/IEC TS 27560: our mapping of it, which docs/proofs.md lists.

No validator of that specification exists that we could test against, so this claims its shape alone.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from .leaf import Value

SCHEMA = "ISO/IEC TS 27560:2023, as mapped by training-consent-receipt/v1"
PURPOSE = "training of machine learning models"
INSTANTS = ("recorded_at", "since")  # fields of a body that are microseconds since 1970
_MICROS = re.compile("[0-9]{1,17}")  # until the year 5138
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def consent_record(fields: Mapping[str, Value], controller: str) -> dict[str, Any] | None:
    """The record of an event about how data may be used; None for one about access or the installation.

    `controller` is the origin of the log: the name under which the provider signs.
    """
    if not fields.get("product"):
        return None
    surface, wording = fields.get("surface") or None, fields.get("wording") or None
    return {
        "schema_version": SCHEMA,
        "record_id": fields.get("id"),
        "pii_principal_id": fields.get("member") or fields.get("organization"),
        "pii_processing": {
            "privacy_notice": wording,
            "purposes": [{"purpose": PURPOSE, "service": fields.get("product"), "collection_method": surface}],
        },
        "party_identification": [{"party_id": controller, "party_role": "pii_controller"}],
        "event": {
            "event_type": fields.get("kind"),
            "event_time": instant(fields.get("recorded_at")),
            "event_state": "given" if fields.get("allowed") is True else "not_given",
            "valid_since": instant(fields.get("since")),
            # Of the provider's people the body has a digest alone.
            "entity_id": None if fields.get("by_operator") else fields.get("actor_id") or None,
        },
    }


def instant(micros: Value) -> str | None:
    """The instant of a number of microseconds since 1970, like 2026-11-20T09:30:00.000001Z; None for anything else."""
    if not isinstance(micros, str) or not _MICROS.fullmatch(micros):
        return None
    return (_EPOCH + dt.timedelta(microseconds=int(micros))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
