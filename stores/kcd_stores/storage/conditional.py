"""Writes to an object store that take effect only if the object is what the writer believes it to be.

A request can arrive long after it was sent: from a process that was suspended, or over a network that held it back. By
then another extraction may have replaced the store. A conditional write that is late fails, where a plain one would
leave its data in the other's store. Services without conditional writes get plain ones; there the record of a block
shows whose data it is (kcd_stores.knowledge.ledger).
"""

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:  # an extra, loaded only for a remote store
    from obstore import ObjectMeta, PutResult, UpdateVersion

# what is believed to be there: nothing, one version of the object, or whatever it is
Version: TypeAlias = "Literal['create', 'overwrite'] | UpdateVersion"

# of services that answer a conditional write with 501, or 400 and this code
UNKNOWN_CONDITION = ("501 Not Implemented", "<Code>NotImplemented</Code>")


def version_of(found: "ObjectMeta | PutResult") -> Version:
    """Return the version of an object that a service tells; 'overwrite' if it tells none."""
    version: UpdateVersion = {}
    if found["e_tag"] is not None:
        version["e_tag"] = found["e_tag"]
    if found["version"] is not None:
        version["version"] = found["version"]
    return version or "overwrite"


def knows_no_conditions(error: Exception) -> bool:
    """Return True if a service refused a write because it knows no conditional ones."""
    from obstore.exceptions import NotSupportedError

    return isinstance(error, NotSupportedError | NotImplementedError) or any(
        mark in str(error) for mark in UNKNOWN_CONDITION
    )
