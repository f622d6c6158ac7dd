"""Workers get addresses: the one path that is shipped is the root of the user's own source."""

from __future__ import annotations

import pytest

from tidemill.config import load_params
from tidemill.engines import open_engine
from tidemill.pipeline import context_for, run_pipeline
from tidemill.settings import Settings
from tidemill.stages import score_files
from tidemill.storage import Workspace
from tidemill.testing.shipping import ShippingEngine


@pytest.mark.slow
def test_workers_get_addresses(finished, copy, tmp_path):
    """From look to register, and for a table to score: what maps hold, packed as it is shipped."""
    root, settings = copy(finished), Settings(workers=1)
    place, params = Workspace.at(root), load_params(root)
    with open_engine(settings) as inner:
        engine = ShippingEngine(inner)
        run_pipeline(place, settings=settings, engine=engine, force=True)
        source = next((root / "data" / "raw").iterdir())
        context = context_for(place, params, settings, engine)
        score_files(context, params=params, source=str(source), output=tmp_path / "out.parquet")
    assert {label for label, paths in engine.paths.items() if paths - {str(root)}} == set()
    assert len(engine.paths) > 12, sorted(engine.paths)
    rooted = {label for label, paths in engine.paths.items() if str(root) in paths}
    assert rooted == {"hash the source", "ingest", "score", "verify source"}
