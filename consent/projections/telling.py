"""The follower that tells people what happened: by e-mail, and by the note on the console's pages."""

from collections.abc import Sequence

from ..models import ConsentEvent
from .member_emails import note_members_to_tell
from .owner_emails import notify_owners
from .provider_acts import keep_acts
from .receipts import confirm_opt_outs, tell_members_of_provider
from .turns import Turns


def tell(events: Sequence[ConsentEvent]) -> None:
    turns = Turns(events)
    notify_owners(events, turns)
    confirm_opt_outs(events)
    tell_members_of_provider(turns)
    note_members_to_tell(turns)
    keep_acts(events)
