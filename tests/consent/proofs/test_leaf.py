"""The leaf of an event: one text for the same fields, as RFC 8785 has it, and salts that blind it."""

import hashlib

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from consent.proofs import leaf
from consent.proofs.errors import ProofError

SALT, OTHER_SALT = bytes(range(32)), bytes(32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text(st.characters(max_codepoint=127))
FIELDS = st.dictionaries(NAMES, st.one_of(TEXTS, st.booleans(), st.none()))


@given(FIELDS)
def test_body__of_any_fields__as_rfc_8785_has_it(fields):
    body = leaf.body(fields)
    assert body.encode() == rfc8785.dumps(fields)
    assert leaf.body(dict(reversed(fields.items()))) == body
    assert leaf.fields(body) == fields


@pytest.mark.parametrize("value", [1, 2**60, 1.5, float("nan"), b"x", ["x"], {"a": "b"}])
def test_body__value_that_not_every_reader_keeps__refused(value):
    with pytest.raises(ProofError, match="no text, boolean or null"):
        leaf.body({"a": value})


def test_body__name_that_is_not_ascii__refused():
    with pytest.raises(ProofError, match="not ASCII"):
        leaf.body({"é": "x"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"a": "b"}',
        '{"a":1}',
        '{"a":"b"}\n',
        '{"b":"","a":""}',
        '{"a":"x","a":"y"}',
        '{"a":"\\u00e9"}',
        "[" * 100_000,
    ],
)
def test_fields__not_the_canonical_text__refused(text):
    with pytest.raises(ProofError):
        leaf.fields(text)


def test_entry__of_salt_and_body__as_docs_say():
    body = leaf.body({"v": "1", "reason": "é"})
    made = leaf.entry(SALT, body)
    assert made == hashlib.sha256(b"training-consent-event/v1\n" + SALT + body.encode()).digest()
    assert len({made, leaf.entry(OTHER_SALT, body), leaf.entry(SALT, body + " ")}) == 3


def test_words_digest__by_salt_and_field__differs_and_is_empty_for_nothing():
    made = leaf.words_digest(SALT, "reason", "because")
    assert made == hashlib.sha256(SALT + b"reason\0because").hexdigest()
    assert made not in {
        leaf.words_digest(SALT, "reference", "because"),
        leaf.words_digest(OTHER_SALT, "reason", "because"),
    }
    assert leaf.words_digest(SALT, "reason", "") == ""


@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_salt__of_another_length__refused(salt):
    with pytest.raises(ProofError, match="32 bytes"):
        leaf.entry(salt, "{}")
    with pytest.raises(ProofError, match="32 bytes"):
        leaf.words_digest(salt, "reason", "x")


def test_entry__half_of_a_surrogate_pair__refused():
    with pytest.raises(ProofError, match="UTF-8"):
        leaf.entry(SALT, "\ud800")
