from tests.support.lineage import folder

__all__ = ["folder"]
