"""Errors of services, which then changed nothing: `code` is for programs, `detail` for people."""

from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.access import Act


class ServiceError(Exception):
    """The base of all refusals; every interface responds with `http_status`. `field` names the input at fault."""

    http_status: ClassVar[int] = 409

    def __init__(self, code: str, detail: str | Promise, field: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.field = field

    def __str__(self) -> str:
        return str(self.detail)


class Invalid(ServiceError):
    """An input value is invalid: correct it and try again."""

    http_status = 400


class Refused(ServiceError):
    """The rules forbid the change in the current state."""

    http_status = 409


class Unprocessable(ServiceError):
    """The input is well formed, but cannot be true: it names what does not exist yet, or contradicts itself."""

    http_status = 422


class Unavailable(ServiceError):
    """What is asked for can't be given now, but may be later: nothing is wrong with the request."""

    http_status = 503


class VersionRequired(ServiceError):
    """A write that loosens must name the version of the setting that the caller saw."""

    http_status = 428


class VersionMismatch(ServiceError):
    """Somebody changed the setting after the caller saw it."""

    http_status = 412


class ConfirmationRequired(Exception):
    """The signed-in person has to confirm who they are, and then repeat the request.

    Not a ServiceError, so that no view handles it as a refusal: only the wrapper around all views may.
    """

    http_status: ClassVar[int] = 403
    code = "reauthentication_required"

    def __init__(self, act: Act) -> None:
        super().__init__(self.code)
        self.act = act

    def __str__(self) -> str:
        return str(_("Confirm who you are first, under /account/confirm/, and send this again."))
