"""The page that checks a receipt: in the browser alone, for whole and altered receipts, by keyboard and on a phone."""

import base64
import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from consent.proofs.encoding import encode
from consent.proofs.errors import ProofError
from consent.proofs.receipt import Receipt, check
from tests.browser.conftest import PHONE
from tests.browser.pages import nothing_wrong
from tests.support import log, proofs
from tests.support.proofs import OTHER_VKEY, SIGNER, VKEY

pytestmark = pytest.mark.django_db(transaction=True)

WHOLE = proofs.receipt()
TEXT = WHOLE.text().encode()
JSON = json.dumps(WHOLE.data(SIGNER.verifier), indent=2).encode()
STEPS = ("place", "words", "signature", "inclusion")
# Every step of each receipt by the page's own script: null if it could not be read.
CHECK_ALL = """async ([files, vkey]) => {
  const keys = [await Receipts.verifier(vkey)];
  const found = [];
  for (const file of files) {
    try {
      const receipt = await Receipts.read(Uint8Array.from(atob(file), (each) => each.charCodeAt(0)));
      found.push(await Receipts.check(receipt, keys));
    } catch (error) {
      if (!(error instanceof Receipts.Refused)) throw error;
      found.push(null);
    }
  }
  return found;
}"""


def _choose(page: Page, data: bytes, name: str = "position-42.tlog-proof") -> None:
    page.get_by_label("Receipt", exact=True).set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    )


def _by_script(page: Page, files: list[bytes]) -> list[dict[str, bool] | None]:
    found: list[dict[str, bool] | None] = page.evaluate(CHECK_ALL, [[encode(file) for file in files], VKEY])
    return found


def _here(data: bytes) -> tuple[bool, ...] | None:
    """What Python says of each step; None if the receipt can't be read, or contradicts itself."""
    try:
        return tuple(not each.problem for each in check(Receipt.parse(data), [SIGNER.verifier]))
    except ProofError:
        return None


def _altered_texts() -> Iterator[bytes]:
    """A bit of each byte of the file, the last line left out: that one is of a witness whom nobody here knows."""
    ours = len(TEXT) - len(TEXT.splitlines()[-1]) - 1
    for at in range(ours):
        yield TEXT[:at] + bytes([TEXT[at] ^ 1 << at % 7]) + TEXT[at + 1 :]
    lines = TEXT.decode().split("\n")
    for place, line in enumerate(lines[3 : lines.index("")], start=3):
        value = bytearray(base64.b64decode(line))
        value[place] ^= 1
        yield "\n".join([*lines[:place], encode(bytes(value)), *lines[place + 1 :]]).encode()
        yield "\n".join([*lines[:place], *lines[place + 1 :]]).encode()
    extra = bytearray(base64.b64decode(lines[1].removeprefix("extra ")))
    for at in range(len(extra)):
        flipped = bytes([*extra[:at], extra[at] ^ 1, *extra[at + 1 :]])
        yield "\n".join([lines[0], f"extra {encode(flipped)}", *lines[2:]]).encode()
    for index in (0, 40, 42, 300):
        yield TEXT.replace(b"index 41", b"index %d" % index)


def _altered_json(value: object, path: tuple[object, ...] = ()) -> Iterator[bytes]:
    """Each value of the file exchanged, and each left out."""
    if isinstance(value, dict | list):
        for key, each in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
            yield from _altered_json(each, (*path, key))
        return
    for other in (None, "x", 7, False, f"{value}x", str(value)[:-1]):
        copy = json.loads(JSON)
        place = copy
        for step in path[:-1]:
            place = place[step]
        if place[path[-1]] != other or type(place[path[-1]]) is not type(other):
            place[path[-1]] = other
            yield json.dumps(copy).encode()


def test_script__whole_receipts__hold_as_here(page: Page) -> None:
    page.goto("/verify/")
    places = [(0, 1), (0, 2), (1, 2), (2, 3), (41, 300), (255, 256), (256, 300), (299, 300)]
    receipts = [proofs.receipt(index, size, words=words) for index, size in places for words in (True, False)]
    files = [receipt.text().encode() for receipt in receipts]
    files += [json.dumps(receipt.data(SIGNER.verifier)).encode() for receipt in receipts]
    assert _by_script(page, files) == [dict.fromkeys(STEPS, True)] * len(files)


def test_script__altered_receipts__refused_at_the_steps_that_python_names(page: Page) -> None:
    page.goto("/verify/")
    files = list(_altered_texts())
    found = [each and tuple(each[step] for step in STEPS) for each in _by_script(page, files)]
    here = [_here(file) for file in files]
    assert [(file, one, other) for file, one, other in zip(files, found, here, strict=True) if one != other] == []
    assert len(files) > 2000
    assert (True,) * 4 not in found


def test_script__altered_json__refused_as_here(page: Page) -> None:
    page.goto("/verify/")
    files = list(_altered_json(json.loads(JSON)))
    by_script = [bool(each) and all(each.values()) for each in _by_script(page, files)]
    here = [bool(found := _here(file)) and all(found) for file in files]
    assert len(files) > 200 and by_script == here == [False] * len(files)


@pytest.mark.parametrize("data", [TEXT, JSON], ids=["text", "json"])
def test_page__whole_receipt__says_what_it_proves_and_asks_nobody(page: Page, data: bytes) -> None:
    page.goto("/verify/", wait_until="networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Public key of the log").fill(VKEY)
    _choose(page, data)
    expect(page.get_by_role("status")).to_have_text("This receipt holds: the event is in the log.")
    assert page.get_by_role("listitem").all_inner_texts() == [
        "What it says is the whole event, at its place in the ledger.",
        "The words in it are those that were recorded.",
        "The checkpoint is signed with this key.",
        "The event is in the log that the checkpoint is about.",
    ]
    facts = page.locator("[data-facts]")
    for told in (
        "What happened\nOpted out",
        "Manage › Le Chat › Privacy",
        "Data used for training after this\nNo",
        "Id of the organization\n0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f",
        "(2026-11-19T09:30:00.000001Z)",
        "Asked by phone – “never”",
        "Log\nportal.example/log",
        "Events in the checkpoint\n300",
    ):
        assert told in facts.inner_text()
    page.get_by_text("Every field of the event").click()
    expect(page.locator("[data-fields]")).to_contain_text("actor_type")
    assert asked == [] and page.context.cookies() == []


@pytest.mark.parametrize(
    ("change", "crosses"),
    [
        (lambda text: text.replace("index 41", "index 43"), [0, 3]),
        (lambda text: text.replace("\n300\n", "\n299\n"), [2]),
        (lambda text: text.replace(text.split("\n")[5], encode(bytes(32))), [3]),
    ],
)
def test_page__altered_receipt__a_cross_and_nothing_of_the_event(
    page: Page, change: Callable[[str], str], crosses: list[int]
) -> None:
    altered = change(TEXT.decode()).encode()
    page.goto("/verify/")
    page.get_by_label("Public key of the log").fill(VKEY)
    _choose(page, altered)
    expect(page.get_by_role("status")).to_have_text("This receipt does not hold: it proves nothing.")
    shown = page.locator("[data-step]:visible").evaluate_all("all => all.map((each) => each.dataset.holds)")
    assert [at for at, holds in enumerate(shown) if holds == "no"] == crosses
    expect(page.locator("[data-event]")).to_be_hidden()


def test_page__wrong_key_no_key_and_no_receipt__say_so(page: Page) -> None:
    page.goto("/verify/")
    _choose(page, TEXT)
    problem = page.get_by_role("alert")
    expect(problem).to_have_text("Give the public key of the log, and the check begins.")
    key = page.get_by_label("Public key of the log")
    key.fill(VKEY[:-1])
    expect(problem).to_contain_text("no public key of a log")
    key.fill(OTHER_VKEY)
    expect(page.get_by_text("The checkpoint is not signed with this key.")).to_be_visible()
    key.fill(f"{OTHER_VKEY}\n{VKEY}\n")
    expect(page.get_by_text("The checkpoint is signed with this key.")).to_be_visible()
    _choose(page, b"\x00\xff")
    expect(problem).to_have_text("This file is no receipt, or it is damaged.")
    expect(page.locator("#found")).to_be_hidden()


def test_page__browser_without_signatures__says_so(page: Page) -> None:
    page.add_init_script("crypto.subtle.importKey = () => Promise.reject(new Error('NotSupportedError'))")
    page.goto("/verify/")
    page.get_by_label("Public key of the log").fill(VKEY)
    _choose(page, TEXT)
    expect(page.get_by_role("alert")).to_contain_text("This browser can't check signatures here.")


def test_page__file_dropped_anywhere__checked(page: Page) -> None:
    page.goto("/verify/")
    page.get_by_label("Public key of the log").fill(VKEY)
    page.evaluate(
        """(text) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([text], "position-42.tlog-proof"));
          for (const type of ["dragover", "drop"])
            document.body.dispatchEvent(
              new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }),
            );
        }""",
        TEXT.decode(),
    )
    expect(page.get_by_role("status")).to_have_text("This receipt holds: the event is in the log.")
    assert page.url.endswith("/verify/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone__in_both_colours__nothing_wrong_and_by_keyboard(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(viewport=PHONE, color_scheme=scheme, bypass_csp=True)
    page.goto("/verify/")
    nothing_wrong(page)
    _choose(page, TEXT)
    order = []
    for _step in range(4):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert order == ["Training Consent", "receipt", "vkey", "Take the key of this portal"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.insert_text(VKEY)
    expect(page.get_by_role("status")).to_have_text("This receipt holds: the event is in the log.")
    nothing_wrong(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[data-fields]")).to_be_visible()
    nothing_wrong(page)


def test_page__in_french__speaks_french(open_page: Callable[..., Page]) -> None:
    page = open_page(locale="fr")
    page.goto("/verify/")
    page.get_by_label("Clé publique du journal").fill(VKEY)
    page.locator("#receipt").set_input_files({"name": "x", "mimeType": "", "buffer": TEXT})
    expect(page.locator("[data-facts]")).to_contain_text("19 novembre 2026")
    expect(page.get_by_role("heading", level=1)).to_have_text("Vérifier un reçu")


def test_page__key_of_this_portal__taken_when_asked_to_and_nothing_else(page: Page) -> None:
    asked: list[str] = []
    with log.kept():  # whose key is that of the made-up receipts
        page.goto("/verify/", wait_until="networkidle")
        page.on("request", lambda request: asked.append(request.url))
        _choose(page, TEXT)
        page.get_by_role("button", name="Take the key of this portal").click()
        expect(page.get_by_role("status")).to_have_text("This receipt holds: the event is in the log.")
    assert [url.partition("/.well-known/")[2] for url in asked] == ["training-consent-log.json"]


def test_page__portal_without_a_log__has_no_key(page: Page) -> None:
    page.goto("/verify/")
    page.get_by_role("button", name="Take the key of this portal").click()
    expect(page.get_by_role("alert")).to_have_text("This portal did not give its public key. It may keep no log.")
