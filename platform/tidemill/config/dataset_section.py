"""The section dataset of params.yaml: the table, how it is written, and what is taken of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tidemill.config.sections import Address, Section
from tidemill.conventions import parse_convention
from tidemill.formats import FORMATS
from tidemill.schema import ColumnType, Task

__all__ = ["CsvFormat", "DatasetConfig", "SampleConfig"]


class CsvFormat(Section):
    """How delimited text is written; ``auto`` is found by look from a bounded sample."""

    delimiter: str = Field("auto", description="one character, or auto")
    quote: str = Field("auto", description="quoting character, auto, or empty for none")
    escape: str = Field(
        "auto", description="character before a quote that is text (a backslash), auto, or empty"
    )
    comment: str = Field(
        "auto", description="first character of lines to leave out, auto, or empty for none"
    )
    skip_lines: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        "auto", description="lines above the header (or the first row) to leave out, or auto"
    )
    trailing_delimiter: bool = Field(
        False, description="whether rows may end in a delimiter that the header does not have"
    )
    encoding: str = Field("utf-8", description="utf-8, latin-1 or utf-16")
    header: Literal["auto"] | bool | tuple[str, ...] = Field(
        "auto", description="auto, true, false, or the list of column names of a file without one"
    )
    null_values: tuple[str, ...] | None = Field(
        None, description="the old name of dataset.missing_values"
    )


class SampleConfig(Section):
    """Which rows of the source are taken: drawn by a hash of each, the same ones in each run."""

    fraction: float | None = Field(
        None, gt=0.0, le=1.0, description="the share of the rows, each drawn by itself"
    )
    rows: int | None = Field(
        None, ge=1, description="instead: exactly so many rows; with by, of each class"
    )
    by: str | None = Field(
        None, description="the column whose classes are drawn from one by one, e.g. the target"
    )
    at_least: int = Field(
        1, ge=1, description="with fraction and by: so many rows of each class, or all of them"
    )
    seed: int = 0

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.fraction is None) == (self.rows is None):
            raise ValueError("state either fraction or rows")
        if self.at_least > 1 and (self.by is None or self.fraction is None):
            raise ValueError("at_least goes with fraction and by")
        return self


class DatasetConfig(Section):
    """The user's table."""

    name: str = Field("dataset", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    source: Address = Field(
        description="a file, a folder or a glob, relative to the workspace or a URL (s3://, gs://, "
        "abfs://, https://); or DATABASE#TABLE"
    )
    format: str = Field(
        "auto", description="auto, one of tidemill or of an installed package, or module:Name"
    )
    csv: CsvFormat = CsvFormat()
    target: str = Field(description="the column to predict")
    task: Literal["auto"] | Task = Field(
        "auto", description="auto, binary, multiclass or regression"
    )
    positive: str | None = Field(
        None, description="the positive label of a binary target; default: the last in order"
    )
    time: str | None = Field(None, description="the column that orders rows")
    key: str | None = Field(None, description="the column that names a row; must be unique")
    cursor: str | None = Field(
        None,
        exclude_if=lambda cursor: cursor is None,  # what it was before it could be said
        description="a column of a database's table that grows with each change (updated_at), at "
        "which it is cut: a run reads what changed; null: its key",
    )
    types: dict[str, ColumnType] = Field(
        default_factory=dict, description="column types where look errs"
    )
    missing_values: tuple[str, ...] = Field(
        ("", "NA", "NaN", "nan", "null", "NULL", "None", "N/A"),
        description="texts that mean 'missing', in every format",
    )
    conventions: dict[str, str] = Field(
        default_factory=dict,
        description="how columns write numbers (1234.5 as they would: '1.234,5', '$1,234.5') or "
        "times (a format of strptime: '%d/%m/%Y')",
    )
    derive: dict[str, str] = Field(
        default_factory=dict, description="new columns by row-wise SQL expressions"
    )
    drop: tuple[str, ...] = Field((), description="columns left out")
    look_rows: int = Field(50_000, ge=100, description="rows the look reads, over all files")
    sample: SampleConfig | None = Field(
        None,
        exclude_if=lambda sample: sample is None,  # what it was before it could be said
        description="rows that ingest draws from the source; null: all",
    )

    def of_another(self, source: str) -> Self:
        """The section of a table of the same columns, which is read as it comes.

        >>> rides = DatasetConfig(source="sqlite:///base#rides", target="fare", cursor="changed_at")
        >>> new = rides.of_another("new.csv")
        >>> new.source, new.target, new.cursor
        ('new.csv', 'fare', None)
        """
        return self.model_copy(update={"source": source, "cursor": None})

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, values: Any) -> Any:
        """``csv.null_values`` of earlier params.yaml is ``missing_values``."""
        form = values.get("csv") if isinstance(values, dict) else None
        stated = dict(form) if isinstance(form, dict) else form
        if isinstance(stated, CsvFormat):
            stated = stated.model_dump(exclude_unset=True)
        if not isinstance(stated, dict) or stated.get("null_values") is None:
            return values
        if "missing_values" in values:
            raise ValueError("csv.null_values: is the old name of missing_values; leave it out")
        missing = stated.pop("null_values")
        return {**values, "csv": stated, "missing_values": missing}

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        return name if name == "auto" else FORMATS.known(name)

    @field_validator("conventions")
    @classmethod
    def _are_conventions(cls, stated: dict[str, str]) -> dict[str, str]:
        for column, text in stated.items():
            if parse_convention(text) is None:
                raise ValueError(
                    f"{column}: {text!r} is neither 1234.5 as the column would write it "
                    "('1.234,5') nor a format of strptime ('%d/%m/%Y')"
                )
        return stated
