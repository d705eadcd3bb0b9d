"""The one error of the pipeline, and what it says about a missing library."""

import os


class PipelineError(Exception):
    """A refusal: the message is one sentence for whoever filters, `exit_code` what the process ends with. `told`: what
    others are told, if the message quotes a library or a file, and so perhaps what a record holds."""

    def __init__(self, message: str, exit_code: int = 2, *, told: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.told = told or message


class NotSigned(PipelineError):
    """A signed file that can be read, and that the key did not sign as it is."""


class Left(PipelineError):
    """A run that failed, and could not take back all that has its final name: the message says what."""


def brief(error: BaseException | str) -> str:
    """What a library said, on one line and not too long."""
    return f"{' '.join(str(error).split()):.200}"


def quoting(said: str, error: BaseException, exit_code: int = 2) -> PipelineError:
    """What went wrong, and what a library said of it, of which others are told the kind alone."""
    return PipelineError(f"{said}: {brief(error)}", exit_code, told=f"{said}: {kind(error)}.")


def kind(error: BaseException) -> str:
    """What kind of error it is, in no words of a library."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__


def missing(error: ImportError) -> PipelineError:
    """What to say where a library of the pipeline is not installed."""
    return PipelineError(f"This needs {error.name}: install the packages of requirements/pipeline.txt.")
