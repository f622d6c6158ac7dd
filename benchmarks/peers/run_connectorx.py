"""A whole table as Arrow by connectorx over one connection: ``run_connectorx.py ADDRESS``."""

from __future__ import annotations

import json
import sys

import connectorx


def main(address: str) -> None:
    database, _, table = address.partition("#")
    read = connectorx.read_sql(database, f"SELECT * FROM {table}", return_type="arrow")
    print(json.dumps({"rows": read.num_rows, "bytes": read.nbytes}))


if __name__ == "__main__":
    main(*sys.argv[1:])
