"""Chunks of a table by pandas, each a file of Parquet: ``run_read_sql.py ADDRESS FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

CHUNK = 125_000


def main(address: str, folder: str) -> None:
    database, _, table = address.partition("#")
    engine = sa.create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    rows, place = 0, Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    with engine.connect().execution_options(stream_results=True) as connection:
        chunks = pd.read_sql(sa.text(f"SELECT * FROM {table}"), connection, chunksize=CHUNK)
        for number, chunk in enumerate(chunks):
            chunk.to_parquet(place / f"{number:04}.parquet", compression="zstd")
            rows += len(chunk)
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main(*sys.argv[1:])
