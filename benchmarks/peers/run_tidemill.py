"""tidemill: ``run_tidemill.py WINDOW STORE [REFERENCE]``.

With REFERENCE the reference is built from its raw rows and stored in the folder STORE; without,
the stored one is read.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.stopwatch import Stopwatch


def main(window: Path, store: Path, reference: Path | None = None) -> None:
    watch = Stopwatch()
    import pyarrow.parquet as pq
    import scipy.special  # noqa: F401 - what tidemill.drift imports with its first finding
    from benchmarks.drift_findings import accused, build
    from threadpoolctl import threadpool_limits

    watch.imported()
    # As the monitor does: small vectors gain nothing from threads that fight.
    with threadpool_limits(1, user_api="blas"):
        if reference is not None:
            build(reference, pq.read_metadata(window).num_rows, store)
        watch.tell(accused(window, store))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
