"""Why a service changed nothing: a code for programs, a detail for people, and the input that `field` names."""

from django.utils.functional import Promise


class ServiceError(Exception):
    def __init__(self, code: str, detail: str | Promise, field: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.field = field

    def __str__(self) -> str:
        return str(self.detail)


class Invalid(ServiceError):
    """A value that can't be: mend it and try again."""


class Refused(ServiceError):
    """The rules say no, as things stand."""


class VersionRequired(ServiceError):
    """A loosening write has to say which version it was decided on."""


class VersionMismatch(ServiceError):
    """Somebody changed the setting after it was looked at."""
