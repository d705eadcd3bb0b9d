"""Names of columns that say whom a row is about: such a column is read, or left out on purpose, never passed over.

A choice in a file with a column `member_email` that nobody reads would be filed with the organization, and reported as
done, while the member's data stays in use.
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
# What else a row can be about: of these each table knows its own.
_OTHERS = {"product", "surface", "produit"}
_ADDRESSES = {"email", "mail", "courriel", "login", "username", "upn"}
_IDS = {"id", "uid", "uuid", "guid", "identifier", "identifiant"}
# Groups that a name is of only with an id beside it: a company is mostly the name of one.
_GROUPS = {"company", "team", "workspace", "group", "entreprise", "equipe"}
_MARKS = {"external", "externe", "e", "address", "adresse", "key", "code", "number", "no", "num", "nr", "name", "nom"}
_FILLING = {"the", "of", "de", "du", "l", "d", "s"}
_ALONE = _ORGANIZATIONS | _PEOPLE | _OTHERS | _ADDRESSES | _IDS
_ALL = _ALONE | _GROUPS | _MARKS | _FILLING
_NAMES = {"name", "nom"}
_WORD = re.compile(r"[a-z]+|\d+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def names_subject(column: str) -> bool:
    """Whether the column is called like one that says whom, or what, a row is about: `memberId`, `User e-mail`."""
    plain = unicodedata.normalize("NFKD", _HUMP.sub(" ", column))
    words = set(_WORD.findall("".join(each for each in plain if not unicodedata.combining(each)).lower()))
    if not words <= _ALL or not words & _ALONE:
        return False
    # What an organization is called says nothing that its id has not said.
    return not words & _NAMES or bool(words & (_PEOPLE | _ADDRESSES | _IDS))


def unread_subject(columns: Sequence[str], read: Collection[str], known: Collection[str] = ()) -> str:
    """The first column that is called so and not among those that are `read`; '' where there is none.

    `known` are those that the portal's own files have beside what is read.
    """
    return next((each for each in columns if each not in read and each not in known and names_subject(each)), "")


def refuse_unread_subject(columns: Sequence[str], read: Collection[str], known: Collection[str] = ()) -> None:
    """Raise BadFile for such a column of a list, whose columns have fixed names."""
    if subject := unread_subject(columns, read, known):
        text = _(
            "The column “%(column)s” says whom a row is about, and is not read: the row would be taken for somebody"
            " else's. Remove the column, or give it its name: %(read)s."
        )
        raise BadFile(text % {"column": subject[:80], "read": ", ".join(read)})
