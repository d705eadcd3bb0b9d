"""An event as a consent record, in the shape of ISO/IEC TS 27560: our mapping of it, which docs/proofs.md lists.

No validator of that specification exists that we could test against, so this claims its shape alone.
"""

from collections.abc import Mapping
from typing import Any

from .leaf import Value

SCHEMA = "ISO/IEC TS 27560:2023, as mapped by training-consent-receipt/v1"
PURPOSE = "training of machine learning models"


def consent_record(fields: Mapping[str, Value], controller: str) -> dict[str, Any] | None:
    """The record of an event about how data may be used; None for one about access or the installation.

    `controller` is the origin of the log: the name under which the provider signs.
    """
    if not fields.get("product"):
        return None
    return {
        "schema_version": SCHEMA,
        "record_id": fields["id"],
        "pii_principal_id": fields.get("member") or fields.get("organization"),
        "pii_processing": {
            "privacy_notice": fields.get("wording") or None,
            "purposes": [
                {"purpose": PURPOSE, "service": fields["product"], "collected_by": fields.get("surface") or None}
            ],
        },
        "party_identification": [{"party_id": controller, "party_role": "pii_controller"}],
        "event": {
            "event_type": fields["kind"],
            "event_time": fields["recorded_at"],
            "event_state": "given" if fields.get("allowed") is True else "not_given",
            "valid_since": fields.get("since") or None,
            "entity_id": fields.get("actor_id") or None,
        },
    }
