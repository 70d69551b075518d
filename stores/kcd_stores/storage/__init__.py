"""The place of a store behind one small protocol: a folder, an object store, a web server.

protocol        what a place must be able to do
folder, objects, web    the three kinds of place
location        parse what people write; `opening` makes a place of it
durable         files that outlive a lost machine
remote, object_client, web_client    requests to a server; `conditional` has writes that must not arrive late
zarr_files, zarr_objects, zarr_web    the same places, as zarr reads and writes them
permission, remote_errors, settings    what becomes of errors, and how long requests are tried
elements        elements of an array as whole objects
lock            one writer at a time
"""

from kcd_stores.storage.durable import flush_to_disk
from kcd_stores.storage.elements import encode_elements, object_name
from kcd_stores.storage.folder import FolderStorage
from kcd_stores.storage.location import masked
from kcd_stores.storage.objects import ObjectStorage
from kcd_stores.storage.opening import Where, is_vacant, one_writer, open_storage, same_place
from kcd_stores.storage.protocol import Buffer, Storage
from kcd_stores.storage.web import WebStorage

__all__ = [
    "Buffer",
    "FolderStorage",
    "ObjectStorage",
    "Storage",
    "WebStorage",
    "Where",
    "encode_elements",
    "flush_to_disk",
    "is_vacant",
    "masked",
    "object_name",
    "one_writer",
    "open_storage",
    "same_place",
]
