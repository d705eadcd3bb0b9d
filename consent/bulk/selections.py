"""Which organizations a bulk change is about: page by page, so that a million take no more memory than a thousand."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from django.db.models import QuerySet

from accounts.access import split_ident
from accounts.models import Organization

from .csv_files import BadFile, CsvFile, MissingColumn

PAGE = 1000
Idents = Callable[[], Iterable[str]]
Pages = Callable[[], Iterator[list[Organization]]]
_COLUMNS = {"organization": "", "external_id": "external:"}


def by_key(organizations: QuerySet[Organization]) -> Iterator[list[Organization]]:
    """Pages in order of id, a short query each: no cursor stays open across the transactions of a change."""
    page = list(organizations.order_by("pk")[:PAGE])
    while page:
        yield page
        page = list(organizations.filter(pk__gt=page[-1].pk).order_by("pk")[:PAGE])


def by_ident(idents: Iterable[str], organizations: QuerySet[Organization]) -> Iterator[list[Organization]]:
    """Pages in the order of the idents, each organization once a page; unknown ones are left out."""
    for chunk in _chunks(idents):
        found = _find(chunk, organizations).values()
        yield list({organization.pk: organization for organization in found}.values())


def unknown(idents: Iterable[str], organizations: QuerySet[Organization]) -> Iterator[str]:
    """Those that no organization has."""
    for chunk in _chunks(idents):
        found = _find(chunk, organizations)
        yield from (ident for ident in chunk if ident not in found)


def idents_of_file(path: str) -> Idents:
    """Of a file with a column `organization` or `external_id`, or with one column. Raises BadFile, MissingColumn."""
    file = CsvFile(path, wanted=_COLUMNS)
    column = next((name for name in _COLUMNS if name in file.columns), file.columns[0])
    if column not in _COLUMNS and len(file.columns) > 1:
        raise MissingColumn(
            f"There is neither a column organization nor external_id. The columns are: {', '.join(file.columns)}."
        )
    if column not in _COLUMNS and split_ident(column) != (None, None):
        raise MissingColumn(
            f"The first line, “{column}”, is an id; it has to name the column: organization or external_id."
        )
    return lambda: _idents(file, column, _COLUMNS.get(column, ""))


def _idents(file: CsvFile, column: str, prefix: str) -> Iterator[str]:
    """Raises BadFile for a row without an id: whoever is meant there would be passed over in silence."""
    for record in file:
        ident = record.values.get(column, "")
        if not ident:
            raise BadFile(f"row {record.row}, column {column}: {record.problem or 'is empty'}. Mend or remove it.")
        yield prefix + ident


def _chunks(idents: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(idents)
    while chunk := list(islice(iterator, PAGE)):
        yield chunk


def _find(idents: list[str], organizations: QuerySet[Organization]) -> dict[str, Organization]:
    """ident → organization."""
    split = {ident: split_ident(ident) for ident in idents}
    pks = [pk for pk, _external_id in split.values() if pk]
    external_ids = [external_id for _pk, external_id in split.values() if external_id]
    of_pk = {each.pk: each for each in organizations.filter(pk__in=pks)} if pks else {}
    known = organizations.filter(external_id__in=external_ids) if external_ids else ()
    of_external_id = {each.external_id: each for each in known}
    found = {}
    for ident, (pk, external_id) in split.items():
        organization = of_pk.get(pk) if pk else of_external_id.get(external_id)
        if organization is not None:
            found[ident] = organization
    return found
