"""The one error of the pipeline, and what it says about a missing library."""


class PipelineError(Exception):
    """A refusal: the message is one sentence for people, `exit_code` what the process ends with."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotSigned(PipelineError):
    """A signed file that can be read, and that the key did not sign as it is."""


def brief(error: BaseException) -> str:
    """What a library said, on one line and not too long."""
    return f"{' '.join(str(error).split()):.200}"


def missing(error: ImportError) -> PipelineError:
    """What to say where a library of the pipeline is not installed."""
    return PipelineError(f"This needs {error.name}: install the packages of requirements/pipeline.txt.")
