"""Files that are whole or absent: atomic writes, Parquet with checksums, manifests, the lock."""

from tidemill.storage.atomic import (
    commit_directory,
    discard_directory,
    discard_file,
    fresh_directory,
    read_file,
    read_json,
    replaced_file,
    storage_errors,
    sweep_others,
    write_bytes,
    write_json,
)
from tidemill.storage.claims import (
    Inventory,
    Leftovers,
    collect,
    find_leftovers,
    take_inventory,
)
from tidemill.storage.exchange import Exchange, inputs_a_piece, most_opens
from tidemill.storage.file_lock import FileHeld, FileLock
from tidemill.storage.file_marks import file_mark
from tidemill.storage.hashed import (
    find_hashed,
    hashed,
    hashed_bytes,
    is_whole,
    read_hashed,
    read_keyed,
    read_output,
    write_hashed,
)
from tidemill.storage.hashing import (
    hash_bytes,
    hash_file,
    hash_files,
    hash_json,
    salted_hash,
    stable_hash,
    stable_row_hash,
)
from tidemill.storage.kept_objects import KeptObject
from tidemill.storage.live_sets import LEARNT_IDS, SET_NOTE, LiveSet, live_sets, write_learnt
from tidemill.storage.lock import services_lock, shared_lock, workspace_lock
from tidemill.storage.manifest import (
    MANIFEST,
    FileEntry,
    PartEntry,
    ShardEntry,
    ShardManifest,
    ValidatedManifest,
)
from tidemill.storage.nearby import brought, read_nearby
from tidemill.storage.parquet import BlockWriter, read_block, read_blocks
from tidemill.storage.piece_writer import PieceIndex, PieceWriter
from tidemill.storage.placing import (
    copy_folder,
    digest_of,
    files_below,
    is_left,
    place_of,
    put_in_place,
)
from tidemill.storage.posix import PosixStore
from tidemill.storage.published_names import CONTENTS, PublishedNames, object_key
from tidemill.storage.publishing import publish
from tidemill.storage.receipts import Receipts
from tidemill.storage.recut import Cutter, recut
from tidemill.storage.remote_files import ExactRanges
from tidemill.storage.source_files import SourceFiles
from tidemill.storage.store_folder import StoreFolder
from tidemill.storage.stored_files import StoredFiles
from tidemill.storage.stores import ObjectFile, open_store
from tidemill.storage.workspace import Workspace

__all__ = [
    "CONTENTS",
    "LEARNT_IDS",
    "MANIFEST",
    "SET_NOTE",
    "BlockWriter",
    "Cutter",
    "ExactRanges",
    "Exchange",
    "FileEntry",
    "FileHeld",
    "FileLock",
    "Inventory",
    "KeptObject",
    "Leftovers",
    "LiveSet",
    "ObjectFile",
    "PartEntry",
    "PieceIndex",
    "PieceWriter",
    "PosixStore",
    "PublishedNames",
    "Receipts",
    "ShardEntry",
    "ShardManifest",
    "SourceFiles",
    "StoreFolder",
    "StoredFiles",
    "ValidatedManifest",
    "Workspace",
    "brought",
    "collect",
    "commit_directory",
    "copy_folder",
    "digest_of",
    "discard_directory",
    "discard_file",
    "file_mark",
    "files_below",
    "find_hashed",
    "find_leftovers",
    "fresh_directory",
    "hash_bytes",
    "hash_file",
    "hash_files",
    "hash_json",
    "hashed",
    "hashed_bytes",
    "inputs_a_piece",
    "is_left",
    "is_whole",
    "live_sets",
    "most_opens",
    "object_key",
    "open_store",
    "place_of",
    "publish",
    "put_in_place",
    "read_block",
    "read_blocks",
    "read_file",
    "read_hashed",
    "read_json",
    "read_keyed",
    "read_nearby",
    "read_output",
    "recut",
    "replaced_file",
    "salted_hash",
    "services_lock",
    "shared_lock",
    "stable_hash",
    "stable_row_hash",
    "storage_errors",
    "sweep_others",
    "take_inventory",
    "workspace_lock",
    "write_bytes",
    "write_hashed",
    "write_json",
    "write_learnt",
]
