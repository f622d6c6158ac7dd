"""A whole table as Arrow by connectorx over one connection: ``run_connectorx.py ADDRESS``."""

from __future__ import annotations

import sys

from benchmarks.peers.stopwatch import Stopwatch


def main(address: str) -> None:
    database, _, table = address.partition("#")
    watch = Stopwatch()
    import connectorx
    import pyarrow  # noqa: F401 - as connectorx does when it is needed

    watch.imported()
    read = connectorx.read_sql(database, f"SELECT * FROM {table}", return_type="arrow")
    watch.tell(rows=read.num_rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
