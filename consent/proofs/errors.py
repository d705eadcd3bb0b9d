"""The one error of proofs."""


class ProofError(ValueError):
    """A proof, note, key or leaf that is not what it should be: the message is one sentence for people."""
