"""Why a service changed nothing: a code for programs, a detail for people, and the input that `field` names."""

from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.access import Act


class ServiceError(Exception):
    """`http_status`: what every face answers it with."""

    http_status: ClassVar[int] = 409

    def __init__(self, code: str, detail: str | Promise, field: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.field = field

    def __str__(self) -> str:
        return str(self.detail)


class Invalid(ServiceError):
    """A value that can't be: mend it and try again."""

    http_status = 400


class Refused(ServiceError):
    """The rules say no, as things stand."""

    http_status = 409


class VersionRequired(ServiceError):
    """A loosening write has to say which version it was decided on."""

    http_status = 428


class VersionMismatch(ServiceError):
    """Somebody changed the setting after it was looked at."""

    http_status = 412


class ConfirmationRequired(Exception):
    """A signed-in person has to show once more who they are, and then ask for the same again.

    No ServiceError, so that no face takes it for a refusal: only what surrounds every page, or view, answers it.
    """

    http_status: ClassVar[int] = 403
    code = "reauthentication_required"

    def __init__(self, act: Act) -> None:
        super().__init__(self.code)
        self.act = act

    def __str__(self) -> str:
        return str(_("Confirm who you are first, under /account/confirm/, and send this again."))
