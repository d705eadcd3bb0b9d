"""Change a plan's training default, which applies to subscribers without a choice."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import counted
from consent.jobs import actions
from consent.management.job_command import JobCommand
from consent.models import Choice, Source


class Command(JobCommand):
    help = (
        "Change a plan's default. To opted_out: everybody subscribed who has not chosen is out. To opted_in: a second "
        "operator approves it, and it reaches subscriptions alone that start afterwards."
    )
    examples = """
  manage.py set_plan_default le_chat_free opted_out --reason "Board decision 12" --actor operator@demo.example --dry-run
  manage.py set_plan_default le_chat_free opted_out --reason "Board decision 12" --actor operator@demo.example --yes
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("plan", metavar="PLAN")
        parser.add_argument("default", choices=[Choice.OPTED_OUT.value, Choice.OPTED_IN.value])
        parser.add_argument("--reason", required=True, help="kept in the ledger")
        self.add_run(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        plan = self.plan(options["plan"])
        actor = self.actor(options["actor"])
        job = actions.preview_default(
            plan=plan, default=options["default"], actor=actor, source=Source.COMMAND, reason=options["reason"]
        )
        asked = "Ask a second operator to make" if job.loosens else "Make"
        what = f"{asked} {plan.name} {options['default']} by default, with {counted(job.matched, 'subscription')} now"
        self.carry_out(job, what, actor, options)
