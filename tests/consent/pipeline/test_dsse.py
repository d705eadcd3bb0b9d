"""Signed statements: another implementation verifies what is written here, and whatever was altered is refused."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from consent.pipeline import dsse
from consent.pipeline.digests import canonical_json, dataset_digest
from consent.pipeline.errors import PipelineError
from tests.support.snapshots import KEY, OTHER_KEY, SIGNING_KEY, VERIFY_KEY

STATEMENT = dsse.statement("https://portal.example/x/v1", {"n": 1, "é": "ü"}, [{"name": "a", "sha256": "00"}])
PUBLIC = KEY.public_key()
PEM = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_envelope__by_securesystemslib__verifies():
    read = Envelope.from_dict(json.loads(dsse.sign(STATEMENT, KEY)))
    key = SSlibKey.from_crypto(PUBLIC, keyid=dsse.key_id(KEY))
    assert list(read.verify([key], threshold=1)) == [dsse.key_id(KEY)]
    assert json.loads(read.payload) == STATEMENT


def test_envelope__of_the_same_statement__same_bytes():
    assert dsse.sign(STATEMENT, KEY) == dsse.sign(dict(reversed(STATEMENT.items())), KEY)


def test_verify__its_key__the_statement():
    assert dsse.verify(dsse.sign(STATEMENT, KEY), PUBLIC) == STATEMENT


def _altered(**changes):
    return json.dumps({**json.loads(dsse.sign(STATEMENT, KEY)), **changes}).encode()


@pytest.mark.parametrize(
    ("envelope", "told"),
    [
        (dsse.sign(STATEMENT, OTHER_KEY), "does not hold"),
        (_altered(signatures=[]), "of nobody"),
        (_altered(payload=base64.b64encode(b"{}").decode()), "does not hold"),
        (_altered(payloadType="text/plain"), "holds text/plain"),
        (_altered(payload="!"), "no DSSE envelope"),
        (_altered(signatures=None), "no DSSE envelope"),
        (_altered(signatures=["x"]), "no DSSE envelope"),
        (b"\xff", "no DSSE envelope"),
        (b"[]", "no DSSE envelope"),
        (b"[" * 100_000, "no DSSE envelope"),
        (dsse.sign({"_type": "other", "predicate": {}}, KEY), "no in-toto statement"),
        (dsse.sign({"_type": dsse.STATEMENT_TYPE, "predicate": 1}, KEY), "no in-toto statement"),
    ],
)
def test_verify__anything_else__refused(envelope, told):
    with pytest.raises(PipelineError, match=told) as refused:
        dsse.verify(envelope, PUBLIC)
    assert refused.value.exit_code == 2


def test_verify__second_signature__counts():
    mine, other = (json.loads(dsse.sign(STATEMENT, key)) for key in (KEY, OTHER_KEY))
    both = json.dumps({**mine, "signatures": other["signatures"] + mine["signatures"]}).encode()
    assert dsse.verify(both, PUBLIC) == STATEMENT


@pytest.mark.parametrize("text", [VERIFY_KEY, PEM, f" {VERIFY_KEY}\n"])
def test_verify_key__as_text_or_file__the_key(text, tmp_path):
    file = tmp_path / "key"
    file.write_text(text)
    for source in (text, file, str(file), PUBLIC):
        assert dsse.verify_key(source).public_bytes_raw() == PUBLIC.public_bytes_raw()


RSA = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL\n-----END PUBLIC KEY-----"


@pytest.mark.parametrize("text", ["", "x", "AAAA", "nowhere/key.pem", RSA, "é", "x" * 5000])
def test_verify_key__anything_else__refused(text):
    with pytest.raises(PipelineError, match="no Ed25519 public key"):
        dsse.verify_key(text)


@pytest.mark.parametrize("text", ["", "secret", SIGNING_KEY[:-5], SIGNING_KEY + SIGNING_KEY])
def test_signing_key__malformed__value_error(text):
    with pytest.raises(ValueError, match="32 bytes"):
        dsse.signing_key(text)


def test_pae__as_in_the_specification():
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_canonical_json__any_order__one_spelling():
    assert canonical_json({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_dataset_digest__order_and_other_keys__make_no_difference():
    one, two = ({"name": name, "rows": 1, "sha256": "00", "size": 5} for name in "ab")
    digest = dataset_digest([one, two])
    assert digest == dataset_digest([{**two, "more": 1}, one])
    assert digest != dataset_digest([one, {**two, "rows": 2}])
