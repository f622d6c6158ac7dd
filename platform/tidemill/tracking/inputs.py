"""The dataset of a run: its version in DVC, as an input that MLflow shows and compares."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

    from tidemill.schema import TableSchema

__all__ = ["dataset_input"]

_TYPES = {
    "float32": "float",
    "float64": "double",
    "int64": "long",
    "bool": "boolean",
    "string": "string",
    "dictionary": "string",
    "timestamp[us]": "datetime",
}


def dataset_input(
    name: str, version: str, source: str, *, rows: int, schema: TableSchema, context: str
) -> DatasetInput:
    """An input whose source is of type ``dvc`` and whose digest is the version."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns: list[dict[str, Any]] = [
        {"type": _TYPES[column.physical], "name": column.name, "required": False}
        for column in schema.columns
    ]
    dataset = Dataset(
        name=name,
        digest=version,
        source_type="dvc",
        source=json.dumps({"path": source, "md5": version}, sort_keys=True),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": rows, "num_features": len(schema.features)}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
