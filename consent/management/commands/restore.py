"""A database that was restored to an earlier moment: what it has lost, adopting it, and a witness that is lost."""

from argparse import SUPPRESS
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Failed, Misuse, counted, printable, table
from consent.files.atomic import BadFile
from consent.management.base import ConsentCommand
from consent.models import Trouble
from consent.proofs.errors import ProofError
from consent.restore import adopting, rebuilding, replay
from consent.restore.adopting import Adopted, Found
from consent.restore.asked import Act
from consent.restore.survey import first_unknown

_SHOWN = 20
_DONE = {
    Act.LEAVE: "members left",
    Act.OPT_OUT: "opted out",
    Act.LOCK: "locked",
    Act.RESTART: "begun anew or told once more",
}


class Command(ConsentCommand):
    help = (
        "What a database that was restored from a backup has lost, by its witness; adopt it as it is, so that no "
        "lost opt-out or lock is un-said and positions go on after the last one that was given; or begin a witness "
        "anew that is lost while the database is whole. docs/proofs.md says when to use which."
    )
    examples = """
  manage.py restore status
  manage.py restore adopt --actor odin@provider.example --reason "Disk failed" --replay feed.jsonl
  manage.py restore witness --rebuild --actor odin@provider.example --reason "Witness disk failed"
"""
    refusals = (*ConsentCommand.refusals, BadFile, ProofError)

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        status = self._add_verb(verbs, "status", "what is lost; the exit code is 1 if anything is, or in quarantine")
        adopt = self._add_verb(verbs, "adopt", "take the database as it was restored")
        for each in (status, adopt):
            each.add_argument(
                "--replay", nargs="+", metavar="FILE", default=[],
                help="copies of lost events: an export_state of the lost database, feeds, or what webhooks got",
            )  # fmt: skip
        self._add_who(adopt)
        adopt.add_argument(
            "--tail-unknown", action="store_true",
            help="where the witness is lost too: opt every organization and every member out",
        )  # fmt: skip
        adopt.add_argument(
            "--lost-to", type=int, metavar="POSITION", help="with --tail-unknown: the last position any reader has met"
        )
        witness = self._add_verb(verbs, "witness", "begin a witness anew that is lost, of a database that is whole")
        witness.add_argument("--rebuild", action="store_true", required=True, help="do it")
        self._add_who(witness)

    def _add_verb(self, verbs: Any, name: str, words: str) -> CommandParser:
        parser: CommandParser = verbs.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        self.add_quiet(parser, default=SUPPRESS)
        self.add_format(parser)
        return parser

    def _add_who(self, parser: CommandParser) -> None:
        self.add_actor(parser)
        parser.add_argument("--reason", required=True, help="why; it stays in the ledger")

    def handle(self, *_args: Any, **options: Any) -> None:
        match options["verb"]:
            case "status":
                self._status(options)
            case "adopt":
                self._adopt(options)
            case _:
                done = rebuilding.rebuild(actor=self.actor(options["actor"]), reason=options["reason"])
                for path in done:
                    self.note(f"{path} was moved aside.")
                self.result(
                    {"rebuilt": True, "moved": done}, "The witness begins anew with the worker's next line.", options
                )

    def _status(self, options: dict[str, Any]) -> None:
        found = adopting.look(replay=self._copies(options))
        self.result(_data(found), _text(found), options)
        if not found.whole:
            lost = counted(found.survey.number, "position")
            raise Failed(f"This database is not the one that was witnessed: {lost} lost. Nothing was changed.")

    def _adopt(self, options: dict[str, Any]) -> None:
        if options["tail_unknown"] is not (options["lost_to"] is not None):
            raise Misuse("Give --tail-unknown and --lost-to together.")
        if (options["lost_to"] or 0) < 0:
            raise Misuse("--lost-to: give a position.")
        actor = self.actor(options["actor"])
        with self.progress(None, "organizations and layers", tell_end=False) as progress:
            try:
                done = adopting.adopt(
                    actor=actor,
                    reason=options["reason"],
                    replay=self._copies(options),
                    tail_unknown=options["tail_unknown"],
                    lost_to=options["lost_to"] or 0,
                    on_step=progress.reach,
                )
            except adopting.NotWitnessed as error:
                raise Failed(
                    f"Adopted, but not witnessed ({printable(error)}). Give the same command again."
                ) from error
        self.result(_adopted(done), _adopted_text(done), options)
        by_hand = done.survey.asked().by_hand
        if by_hand:
            kinds = ", ".join(f"{kind} ({number:,})" for kind, number in sorted(by_hand.items()))
            self.note(f"Look after these by hand, they can't be done again from here: {kinds}.")

    def _copies(self, options: Mapping[str, Any]) -> replay.Replay | None:
        return replay.read(options["replay"], adopting.look().survey.restored_to) if options["replay"] else None


def _data(found: Found) -> dict[str, Any]:
    told = found.survey
    return {
        "quarantine": found.trouble,
        "epoch": found.epoch,
        "head": told.head,
        "pending": found.pending,
        "witnessed": told.witnessed,
        "restored_to": told.restored_to,
        "lost_to": told.lost_to,
        "lost": told.number,
        "unknown": told.unknown,
        "counted": told.counted,
        "differing": told.differing,
        "unfinished": found.unfinished,
        "kinds": told.kinds(),
        "layers": [
            {"level": level, "product": product, "layers": number} for (level, product), number in told.layers().items()
        ],
        "would": {act.value: number for act, number in sorted(_counted(found).items())},
        "by_hand": told.asked().by_hand,
    }


def _counted(found: Found) -> dict[Act, int]:
    numbers: dict[Act, int] = {}
    for _key, act in found.survey.asked().acts():
        numbers[act] = numbers.get(act, 0) + 1
    return numbers


def _text(found: Found) -> str:
    told = found.survey
    facts: list[tuple[object, ...]] = [
        ("quarantine", Trouble(found.trouble).label if found.trouble else "no"),
        ("epoch", found.epoch),
        ("witness", "there" if told.witnessed else "none"),
        ("head", f"{told.head:,}"),
        ("without a position", f"{found.pending:,}"),
        ("as witnessed up to", f"{told.restored_to:,}"),
        ("lost positions", f"{told.number:,}" + (f", up to {told.lost_to:,}" if told.number else "")),
    ]
    if told.differing:
        facts.append(("with another event here", f"{told.differing:,}"))
    if told.unknown:
        facts.append(("of which nothing is known", f"{told.unknown:,}"))
        facts += [("", f"{first:,} to {last:,}") for first, last in first_unknown(told)]
    if told.counted:
        facts.append(("lost before they had one", f"{told.counted:,}: counted by the witness, and not told"))
    if found.unfinished:
        facts.append(("adopted", "but the witness has no line of it: adopt writes it"))
    facts += [(f"lost: {kind}", f"{number:,}") for kind, number in told.kinds().items()]
    facts += [(f"layers of {level}s, {product}", f"{number:,}") for (level, product), number in told.layers().items()]
    facts += [(f"asked for: {act.value}", f"{number:,}") for act, number in sorted(_counted(found).items())]
    facts += [(f"by hand: {kind}", f"{number:,}") for kind, number in sorted(told.asked().by_hand.items())]
    return table(facts)


def _adopted(done: Adopted) -> dict[str, Any]:
    told = done.survey
    return {
        "epoch": done.epoch,
        "restored_to": told.restored_to,
        "lost_to": told.lost_to,
        "lost": told.number,
        "counted": told.counted,
        "complete": done.complete,
        "done": {act.value: number for act, number in sorted(done.done.items()) if number},
        "not_here": done.unknown,
        "loosened": [each._asdict() for each in done.loosened],
        "by_hand": told.asked().by_hand,
        "log": done.log,
        "log_paused": done.log_paused,
    }


def _adopted_text(done: Adopted) -> str:
    told = done.survey
    facts: list[tuple[object, ...]] = [
        ("epoch", done.epoch),
        ("as witnessed up to", f"{told.restored_to:,}"),
        ("lost positions", f"{told.number:,}" + (f", up to {told.lost_to:,}" if told.number else "")),
        ("all of them known", "yes" if done.complete else "no"),
        *((words, f"{done.done.get(act, 0):,}") for act, words in _DONE.items()),
    ]
    if told.counted:
        facts.append(("lost before they had one", f"{told.counted:,}: counted by the witness, and not told"))
    if done.log:
        facts.append(("the log goes on as", done.log + (", once log_resume says so" if done.log_paused else "")))
    facts += [("not in this database", each) for each in done.unknown[:_SHOWN]]
    facts += [
        ("allowed when it was lost, not here", printable(f"{each.organization} {each.member} {each.product}"))
        for each in done.loosened[:_SHOWN]
    ]
    for name, number in (("not in this database", len(done.unknown)), ("allowed when it was lost", len(done.loosened))):
        if number > _SHOWN:
            facts.append((name, f"and {number - _SHOWN:,} more: --format json lists all"))
    return table(facts)
