"""What the filter says of an object store, in no words of a library."""

import contextlib
from collections.abc import Iterator

from .errors import PipelineError, kind

NOT_THERE = "is not there: no such object, folder or bucket"


def changed(url: str) -> PipelineError:
    return PipelineError(f"{url} has changed while it was filtered: filter it again.", 70)


@contextlib.contextmanager
def said(url: str, exit_code: int) -> Iterator[None]:
    """Errors of a store as one sentence each, never in the words of a library, in which there may be a secret."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        names = {each.__name__ for each in type(error).__mro__}
        if "FileExpired" in names:
            raise changed(url) from None
        raise PipelineError(f"{url} {_reason(error, names)}.", exit_code) from None


def _reason(error: Exception, names: set[str]) -> str:
    """What is wrong; the libraries of stores have exceptions of their own, of which the names are known."""
    if isinstance(error, FileNotFoundError):
        return NOT_THERE
    if isinstance(error, FileExistsError):
        return "has come to be there meanwhile: nothing is overwritten"
    if isinstance(error, PermissionError):
        return "is refused: the credentials don't allow this, or are not valid"
    if any("Credential" in name for name in names):
        return "can't be reached: there are no credentials for it"
    if any("Connect" in name or "Timeout" in name for name in names):
        return "can't be reached: its endpoint does not answer"
    return f"can't be used: {kind(error)}"
