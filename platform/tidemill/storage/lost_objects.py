"""What helps where an object is missing or spoilt: not the same in a store apart."""

from __future__ import annotations

import re

__all__ = ["made_anew"]

_APART = re.compile(r"objects/[0-9a-f]{64}")
_HERE = "run the stage that makes it again, or bring it back with: dvc checkout"


def made_anew(place: str, *, here: str = _HERE) -> str:
    """The remedy for an object that is not what it was.

    DVC has no copy of what lies in a store apart, and ``tidemill run`` compares the names alone.

    Parameters
    ----------
    place : str
        Its key, or its address.
    here : str
        What helps in the workspace's own folder.

    >>> made_anew("data/shards/shard-00000.parquet", here="run it again")
    'run it again'
    """
    if _APART.search(place) is None:
        return here
    return (
        "make it anew: `tidemill stage shard` where it is of data/shards, `tidemill stage ingest` "
        "of data/validated or data/quarantine, `tidemill run --force` whatever it is; of live rows "
        "delete the folder below data/live, for nothing brings them back"
    )
