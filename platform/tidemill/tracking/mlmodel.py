"""The MLmodel file: what MLflow needs to load a candidate, and nothing that names other code."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from tidemill.tracking.allowed import trusted_types

__all__ = ["check_mlmodel", "settle_mlmodel"]

MODEL_FILE = "model.skops"

# What differs between two saves of one pipeline.
_VOLATILE = ("model_id", "model_size_bytes", "model_uuid", "prompts", "run_id", "utc_time_created")

_TOP = frozenset(
    {
        "flavors",
        "is_signature_from_type_hint",
        "metadata",
        "mlflow_version",
        "saved_input_example_info",
        "signature",
        "type_hint_from_example",
    }
)

# Everything that decides which code runs; versions may differ.
_FLAVORS: dict[str, dict[str, Any]] = {
    "python_function": {
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": "mlflow.sklearn",
        "model_path": MODEL_FILE,
        "predict_fn": "predict",
    },
    "sklearn": {
        "code": None,
        "pickled_model": MODEL_FILE,
        "serialization_format": "skops",
        "skops_trusted_types": None,
    },
}
_VERSION_KEYS = {"python_function": "python_version", "sklearn": "sklearn_version"}


def settle_mlmodel(text: str) -> str:
    """The MLmodel text without what differs between two saves of one pipeline."""
    document = {key: value for key, value in _read(text).items() if key not in _VOLATILE}
    out = io.StringIO()
    _yaml().dump(document, out)
    return out.getvalue()


def check_mlmodel(content: bytes) -> None:
    """Check that MLflow would load our pipeline, and only that, by this MLmodel file.

    Raises
    ------
    ValueError
        If a flavor, a loader or a path in it is not the one that tidemill writes.
    """
    document = _read(content.decode())
    unknown = sorted(map(str, document.keys() - _TOP))
    if unknown:
        raise ValueError(f"unknown entries: {', '.join(unknown)}")
    flavors = document.get("flavors")
    if not isinstance(flavors, Mapping) or flavors.keys() != _FLAVORS.keys():
        raise ValueError("its flavors are not sklearn and python_function")
    for name, expected in _FLAVORS.items():
        flavor = dict(flavors[name])
        flavor.pop(_VERSION_KEYS[name], None)
        for key in sorted(flavor.keys() | expected.keys()):
            if key not in flavor or key not in expected:
                raise ValueError(f"flavors.{name} lacks, or should not have, {key!r}")
            if flavor[key] != expected[key] and key != "skops_trusted_types":
                raise ValueError(f"flavors.{name}.{key} is {flavor[key]!r}")
    # Those of its learner; a model saved by an earlier tidemill may have trusted fewer types.
    trusted = flavors["sklearn"]["skops_trusted_types"]
    if not isinstance(trusted, list) or not set(trusted) <= {*trusted_types(set(trusted))}:
        raise ValueError("flavors.sklearn.skops_trusted_types names types that are not ours")


def _read(text: str) -> dict[str, Any]:
    document = _yaml().load(text)
    if not isinstance(document, dict):
        raise ValueError("it is not a mapping")
    return document


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 4096
    return yaml
