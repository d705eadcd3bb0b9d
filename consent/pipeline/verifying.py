"""Checks the manifest of a training run by itself, without its data, and says what came of each step."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ..proofs.cli import printable
from ..proofs.note import Checkpoint, Verifier
from ..proofs.receipt import Check
from .errors import NotSigned, PipelineError
from .run_manifest import RunManifest, require_carried, require_covered, require_signed

REFUSED = 1  # the exit code for a manifest that does not hold
_WITHOUT_KEY = "Its checkpoint was not checked: that takes the public key of the log (--vkey)."


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of the checks. `checkpoint`: the one behind the run, if it was checked and holds; `unchecked`: why it
    was not looked at, in a sentence for people, else "".
    """

    checks: tuple[Check, ...]
    manifest: RunManifest | None = None  # None: it is not signed, so what it says is nothing
    checkpoint: Checkpoint | None = None
    unchecked: str = ""

    @property
    def holds(self) -> bool:
        return not any(each.problem for each in self.checks)

    @property
    def exit_code(self) -> int:
        return 0 if self.holds else REFUSED

    def and_also(self, what: str, step: Callable[[Checkpoint], object]) -> "Verdict":
        """With one more check of the checkpoint, if there is one that holds; `step` raises PipelineError."""
        if self.checkpoint is None:
            return self
        found = self.checkpoint
        return dataclasses.replace(self, checks=(*self.checks, Check(what, _problem(lambda: step(found)))))

    def shown(self, form: str) -> str:
        """As `text` or `json`."""
        return json.dumps(self._data(), indent=2) if form == "json" else self._text()

    def _data(self) -> dict[str, object]:
        said: dict[str, object] = {"holds": self.holds, "checks": [each._asdict() for each in self.checks]}
        if self.manifest and self.holds:
            found = self.checkpoint
            said |= {
                "run": self.manifest.run,
                "position": self.manifest.position,
                "checkpoint": found and {"log": found.origin, "size": found.size},
            }
        return said

    def _text(self) -> str:
        lines = [*map(str, self.checks), ""]
        if not self.holds or self.manifest is None:
            lines.append("This manifest proves nothing.")
            return _printable(lines)
        if self.manifest.position is not None:
            lines.append(f"Run {self.manifest.run} rests on the ledger up to position {self.manifest.position}.")
        if found := self.checkpoint:
            lines.append(f"The log {found.origin} had {found.size} events, these among them, when it was registered.")
        if self.unchecked:
            lines.append(self.unchecked)
        return _printable(lines)


def _printable(lines: Sequence[str]) -> str:
    return "\n".join(map(printable, lines))


def verify(
    path: str | Path,
    verify_key: str | Path | Ed25519PublicKey,
    keys: Sequence[Verifier],
    *,
    demanded: bool = True,
) -> Verdict:
    """Check the signature of a run's manifest by `verify_key`, and its checkpoint by the keys of the log, if any.

    `demanded`: with keys, a manifest that carries no checkpoint does not hold; if not, the verdict only says that it
    carries none. Raises PipelineError for what can't be read, and for the manifest of something else.
    """
    what = "the manifest is signed with the key of the portal"
    try:
        manifest = RunManifest.read(path, verify_key)
    except NotSigned as error:
        return Verdict((Check(what, str(error)),))
    checks = [Check(what, "")]
    if not keys:
        return Verdict((*checks,), manifest, unchecked=_WITHOUT_KEY)
    missing = _problem(lambda: require_carried(manifest))
    if missing and not demanded:
        return Verdict((*checks,), manifest, unchecked=missing)
    checks.append(Check("the manifest carries a checkpoint of the log", missing))
    carried = manifest.checkpoint
    if carried is None:
        return Verdict((*checks,), manifest)
    steps: dict[str, Callable[[], object]] = {
        "the checkpoint is signed with the key of the log": lambda: require_signed(carried, keys),
        "the checkpoint covers the position that the run rests on": lambda: require_covered(manifest, carried),
    }
    checks += [Check(name, _problem(step)) for name, step in steps.items()]
    holds = not any(each.problem for each in checks)
    return Verdict((*checks,), manifest, require_signed(carried, keys) if holds else None)


def _problem(step: Callable[[], object]) -> str:
    try:
        step()
    except PipelineError as error:
        return str(error)
    return ""
