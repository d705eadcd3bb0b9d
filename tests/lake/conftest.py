from tests.support.lineage import folder
from tests.support.object_store import client, memory, objects, served, store

__all__ = ["client", "folder", "memory", "objects", "served", "store"]
