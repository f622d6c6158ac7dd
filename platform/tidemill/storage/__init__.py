"""Files that are whole or absent: atomic writes, Parquet with checksums, manifests, the lock."""

from tidemill.storage.atomic import (
    commit_directory,
    discard_directory,
    fresh_directory,
    place_file,
    read_json,
    replaced_file,
    storage_errors,
    write_bytes,
    write_json,
)
from tidemill.storage.hashed import (
    hashed,
    read_hashed,
    read_output,
    read_receipt,
    write_hashed,
    write_receipt,
)
from tidemill.storage.hashing import (
    hash_bytes,
    hash_file,
    hash_json,
    salted_hash,
    stable_hash,
    stable_row_hash,
)
from tidemill.storage.lock import services_lock, shared_lock, workspace_lock
from tidemill.storage.manifest import (
    FileEntry,
    PartEntry,
    ShardEntry,
    ShardManifest,
    ValidatedManifest,
    read_profiles,
    verify_file,
)
from tidemill.storage.parquet import BlockWriter, read_block, read_blocks
from tidemill.storage.workspace import Workspace

__all__ = [
    "BlockWriter",
    "FileEntry",
    "PartEntry",
    "ShardEntry",
    "ShardManifest",
    "ValidatedManifest",
    "Workspace",
    "commit_directory",
    "discard_directory",
    "fresh_directory",
    "hash_bytes",
    "hash_file",
    "hash_json",
    "hashed",
    "place_file",
    "read_block",
    "read_blocks",
    "read_hashed",
    "read_json",
    "read_output",
    "read_profiles",
    "read_receipt",
    "replaced_file",
    "salted_hash",
    "services_lock",
    "shared_lock",
    "stable_hash",
    "stable_row_hash",
    "storage_errors",
    "verify_file",
    "workspace_lock",
    "write_bytes",
    "write_hashed",
    "write_json",
    "write_receipt",
]
