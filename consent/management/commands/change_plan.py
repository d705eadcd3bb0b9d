"""Move an organization to another plan, or end a subscription, and say what that did to its choice."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from accounts.access import Permission
from accounts.catalogue import Product
from accounts.management.base import table
from accounts.models import Organization
from consent.management.base import YES_NO, ConsentCommand, state_data
from consent.models import PrivacySetting, Source
from consent.rules import Choice, State
from consent.services import plans


class Command(ConsentCommand):
    help = "Subscribe an organization to a plan, move it to another one, or end its subscription for a product."
    examples = """
  manage.py change_plan external:acme --plan le_chat_teams --actor operator@demo.example --dry-run
  manage.py change_plan external:acme --plan le_chat_teams --actor operator@demo.example
  manage.py change_plan external:acme --end le_chat --reason "Contract ended" --actor operator@demo.example
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="id or external:ID")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--plan", metavar="KEY", help="the plan to start or to move to")
        what.add_argument("--end", metavar="PRODUCT", choices=Product.values, help="end the subscription for a product")
        parser.add_argument("--reason", default="", help="kept in the ledger")
        parser.add_argument("--dry-run", action="store_true", help="say what becomes of the choice, and change nothing")
        self.add_actor(parser)
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        plan = self.plan(options["plan"]) if options["plan"] is not None else None
        product = plan.product if plan else options["end"]
        actor = self.actor(options["actor"])
        organization = self.organization(options["organization"], actor, Permission.SUBSCRIPTIONS_MANAGE)
        origin = {"actor": actor, "source": Source.COMMAND, "reason": options["reason"]}
        # One transaction, so that the state shown as "before" is the one that the service changes.
        with transaction.atomic():
            before = _locked_state(organization, product)
            if plan:
                setting = plans.subscribe(organization=organization, plan=plan, **origin)
            else:
                setting = plans.end_subscription(organization=organization, product=product, **origin)
            if options["dry_run"]:  # run the service for real, show its result, and roll back
                transaction.set_rollback(True)
        self._print(organization, product, before, setting.state, options)

    def _print(
        self, organization: Organization, product: str, before: State, after: State, options: dict[str, Any]
    ) -> None:
        earlier, later = state_data(before), state_data(after)
        note = _what_became_of_the_choice(before, after)
        rows = [
            (
                name.replace("_", " "),
                _serialize(earlier[name]),
                "→" if earlier[name] != value else "=",
                _serialize(value),
            )
            for name, value in later.items()
        ]
        text = f"{table([('organization', organization.name), ('product', product)])}\n\n{table(rows)}\n\n{note}"
        if options["dry_run"]:
            text += "\nThat is what would be: nothing was changed."
        data = {
            "organization": str(organization.pk), "product": product, "changed": before != after, "note": note,
            "dry_run": options["dry_run"],
        }  # fmt: skip
        self.result({**data, "before": earlier, "after": later}, text, options)


def _locked_state(organization: Organization, product: str) -> State:
    """The state before the change. Locks the row until the end of the transaction."""
    rows = PrivacySetting.objects.of_organizations().filter(organization=organization, product=product)
    setting = rows.select_for_update(of=("self",)).first()
    return setting.state if setting else State(closed=organization.is_closed)


def _serialize(value: object) -> object:
    return YES_NO[value] if isinstance(value, bool) else value


def _what_became_of_the_choice(before: State, after: State) -> str:
    if before == after:
        return "It was so already; nothing was written."
    if after.choice != before.choice:
        return "The opt-in was dropped: under a plan that is opted out by default it has to be given anew."
    if after.carry and after.carry != before.carry:
        return f"Nobody has chosen, so it stays out, carried over from {after.carry}, until somebody opts in."
    if after.choice != Choice.DEFAULT:
        return f"The choice, {after.choice}, is kept."
    if after.carry:
        return f"It stays out, carried over from {after.carry}, until somebody opts in."
    return "Nobody has chosen; the plan's default applies." if after.subscribed else "Nobody has chosen."
