"""Recognizes columns that say whom a row is about: they must be read, or left out on purpose, but never ignored.

If a file of choices had a column `member_email` that is ignored, a member's opt-out would be stored as the
organization's and reported as done, while the member's data stays in use.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence

from django.utils.translation import gettext as _

from .atomic import BadFile

_ORGANIZATIONS = {"organization", "organisation", "org", "account", "tenant", "customer", "client", "compte"}
_PEOPLE = {
    "member", "user", "subject", "person", "individual", "owner", "employee", "colleague", "collaborator",
    "membre", "utilisateur", "sujet", "personne", "proprietaire", "employe", "salarie", "collaborateur",
}  # fmt: skip
# What else a row can be about; each table reads those that concern it.
_OTHERS = {"product", "surface", "produit"}
_ADDRESSES = {"email", "mail", "courriel", "login", "username", "upn"}
_IDS = {"id", "uid", "uuid", "guid", "identifier", "identifiant"}
# Groups: they name a subject only together with an id, because a column `company` mostly has just a name.
_GROUPS = {"company", "team", "workspace", "group", "entreprise", "equipe"}
_MARKS = {"external", "externe", "e", "address", "adresse", "key", "code", "number", "no", "num", "nr", "name", "nom"}
_FILLING = {"the", "of", "de", "du", "l", "d", "s"}
_ALONE = _ORGANIZATIONS | _PEOPLE | _OTHERS | _ADDRESSES | _IDS
_ALL = _ALONE | _GROUPS | _MARKS | _FILLING
_NAMES = {"name", "nom"}
_WORD = re.compile(r"[a-z]+|\d+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def names_subject(column: str) -> bool:
    """Whether the column's name says that it holds the subject of a row, like `memberId` or `User e-mail`."""
    # `memberId` becomes “member Id”, and accents are removed: employé, employe.
    plain = unicodedata.normalize("NFKD", _HUMP.sub(" ", column))
    words = set(_WORD.findall("".join(each for each in plain if not unicodedata.combining(each)).lower()))
    # Every word has to be known: `member_since`, for example, is about something else.
    if not words <= _ALL or not words & _ALONE:
        return False
    # A name of an organization may be ignored: its id is read.
    return not words & _NAMES or bool(words & (_PEOPLE | _ADDRESSES | _IDS))


def unread_subject(columns: Sequence[str], read: Collection[str], known: Collection[str] = ()) -> str:
    """The first column for which `names_subject` is true and that is not in `read`; '' if there is none.

    `known` are columns of the portal's own files, which may be ignored.
    """
    return next((each for each in columns if each not in read and each not in known and names_subject(each)), "")


def refuse_unread_subject(columns: Sequence[str], read: Collection[str], known: Collection[str] = ()) -> None:
    """Raise BadFile if a list, whose columns have fixed names, has an `unread_subject`."""
    if subject := unread_subject(columns, read, known):
        text = _(
            "The column “%(column)s” says whom a row is about, but it is not read, so rows could be applied to the "
            "wrong person. Remove the column, or rename it to: %(read)s."
        )
        raise BadFile(text % {"column": subject[:80], "read": ", ".join(read)})
