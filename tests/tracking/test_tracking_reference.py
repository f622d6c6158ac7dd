"""The reference comes back from its folder, or says what to do."""

import json

import numpy as np
import pytest

from tidemill.drift import HeldOut, PerformanceModel, Reference
from tidemill.errors import IntegrityError
from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.storage import write_json
from tidemill.tracking import load_reference

FARE = Column("fare", ColumnType.NUMERIC, Purpose.TARGET, "float64", (5.0, 10.0))
KM = Column("km", ColumnType.NUMERIC, Purpose.FEATURE, "float64", (1.0, 2.0))
SCHEMA = TableSchema((KM, FARE), Task.REGRESSION)


def made():
    import pyarrow as pa

    rng = np.random.default_rng(0)
    km = rng.uniform(0, 3, 200)
    rows = pa.table({"km": km, "fare": 5 * km})
    block = HeldOut.of(SCHEMA, 5 * km + rng.normal(0, 1, 200), 5 * km)
    return Reference.of(
        SCHEMA,
        [Profile.of(rows, SCHEMA)],
        [block.outputs],
        metric="mae",
        figures=block.figures.values(),
        quality=PerformanceModel.fit([(block.outcomes, block.figures)]),
        time_ordered=False,
    )


def test_a_reference_is_read_from_its_folder(tmp_path):
    """What was written is what is read, to the last bit."""
    reference = made()
    write_json(tmp_path / "reference.json", reference.to_json())
    again = load_reference(tmp_path)
    assert again.to_json() == reference.to_json()
    assert again.quality.estimate(block := again.merged_outputs(), "mae").value == pytest.approx(
        reference.figures["mae"]
    )
    assert block.rows == 200


@pytest.mark.parametrize("document", [[{"rows": 3, "columns": []}], {"schema": {}}, "text"])
def test_a_reference_of_another_time_is_refused(tmp_path, document):
    """A list of profiles, as earlier versions attached, leads to the remedy, not to a crash."""
    (tmp_path / "reference.json").write_text(json.dumps(document))
    with pytest.raises(IntegrityError) as caught:
        load_reference(tmp_path)
    assert "tidemill run" in caught.value.remedy


def test_no_reference_is_told(tmp_path):
    """A version without one: the file is named."""
    with pytest.raises(IntegrityError, match=r"reference\.json"):
        load_reference(tmp_path)
