"""Free text in the monitor: its rows and gaps are watched, its words are not."""

import dataclasses

import pyarrow as pa
import pytest

from tidemill.config import DriftConfig, QualityConfig
from tidemill.drift import FeedCheck, Intake, Reference
from tidemill.drift.yardstick import Yardstick
from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose
from tidemill.testing.worlds import World


class Letters(World):
    """The same rides, each with a remark of its own."""

    def __init__(self):
        super().__init__(seed=1, blocks=12)
        note = Column("note", ColumnType.TEXT, Purpose.FEATURE, "string")
        self.schema = dataclasses.replace(self.schema, columns=(*self.schema.columns, note))

    def _training(self, rows):
        remarks = pa.array([f"remark number {row}" for row in range(rows)])
        return super()._training(rows).append_column("note", remarks)

    def window(self, rows, schema, *, gone):
        """Rows as training had them, with or without their remarks."""
        table = self._training(rows)
        note = pa.nulls(rows, pa.string()) if gone else table["note"]
        place = table.column_names.index("note")
        return Profile.of(table.set_column(place, "note", note), schema)


@pytest.mark.parametrize("gone", [False, True])
def test_missing_texts_are_found_and_new_ones_are_no_news(gone):
    """A reference holds no text; whether rows have one is compared."""
    world = Letters()
    reference = Reference.from_json(world.reference().to_json())
    assert all(block.columns["note"].counts == {} for block in reference.blocks)
    window = world.window(1000, reference.live_schema, gone=gone)
    found = [
        *Yardstick(reference, DriftConfig(), seed=0).findings(window),
        *FeedCheck(reference, QualityConfig()).findings(window, Intake.of(rows_sent=1000)),
    ]
    flagged = {(one.feature, one.test) for one in found if one.flagged}
    told = {test for feature, test in flagged if feature == "note"}
    assert told == ({"null_share", "null_rate"} if gone else set())
