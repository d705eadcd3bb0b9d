"""Explain why data may be used or not: the decision, with every layer that led to it."""

import datetime as dt
from typing import Any

from django.core.management.base import CommandParser

from accounts.access import Actor
from accounts.catalogue import Product
from accounts.fields import rfc3339
from accounts.management.base import parse_instant, table
from consent.decisions import Answer, decide
from consent.lookups import Question
from consent.management.base import YES_NO, ConsentCommand
from consent.surfaces import DATA_KINDS

_KINDS = sorted({kind for kinds in DATA_KINDS.values() for kind in kinds})


class Command(ConsentCommand):
    help = "Ask for a decision and show what it rests on. The exit code is 0 whatever the answer."
    examples = """
  manage.py explain external:acme ai_studio
  manage.py explain external:acme le_chat --member external:ada --collected-at 2026-05-01T09:30:00Z
  manage.py explain external:acme le_chat --member external:ada --at 2026-06-01T00:00:00Z --format json
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="id or external:ID")
        parser.add_argument("product", help=", ".join(Product.values))
        parser.add_argument("--member", metavar="ID", help="id or external:ID")
        parser.add_argument("--data-kind", metavar="KIND", help=", ".join(_KINDS))
        parser.add_argument(
            "--collected-at", metavar="INSTANT", help="RFC 3339; without it: at the instant asked about"
        )
        parser.add_argument("--at", metavar="INSTANT", help="RFC 3339; without it: now")
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        question = Question(
            organization=options["organization"],
            product=options["product"],
            member=options["member"],
            data_kind=options["data_kind"],
            collected_at=_instant("--collected-at", options["collected_at"]),
            at=_instant("--at", options["at"]),
        )
        answer = decide(question, Actor.system())
        self.result(_data(answer), _text(answer), options)


def _instant(option: str, text: str | None) -> dt.datetime | None:
    return None if text is None else parse_instant(option, text)


def _data(answer: Answer) -> dict[str, object]:
    decision = answer.decision
    return {
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "detail": answer.detail,
        "decided_at": rfc3339(answer.decided_at),
        **({"usable_from": rfc3339(decision.usable_from)} if decision.usable_from else {}),
        "layers": [
            {
                "layer": layer.layer,
                "allowed": layer.allowed,
                "reason": str(layer.reason),
                "since": rfc3339(layer.since),
                "event": answer.events.get(layer.layer),
            }
            for layer in decision.layers
        ],
    }


def _text(answer: Answer) -> str:
    decision = answer.decision
    head = table(
        [
            ("allowed", YES_NO[decision.allowed]),
            ("reason", decision.reason.value),
            ("detail", answer.detail),
            ("decided at", rfc3339(answer.decided_at)),
            *([("usable from", rfc3339(decision.usable_from))] if decision.usable_from else []),
        ]
    )
    rows = [
        (each.layer, YES_NO[each.allowed], str(each.reason), rfc3339(each.since), answer.events.get(each.layer))
        for each in decision.layers
    ]
    return f"{head}\n\n{table(rows, ['layer', 'allowed', 'reason', 'since', 'event'])}" if rows else head
