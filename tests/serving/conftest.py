"""Each of these tests starts servers with databases of their own."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def copied_databases(migrated_database: None) -> None:
    """See `migrated_database`."""
