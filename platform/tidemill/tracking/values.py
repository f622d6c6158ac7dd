"""Values in the shapes that MLflow takes: flat names, short texts, finite batches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tidemill.storage import hash_bytes

__all__ = ["flatten", "metric_name", "param_text", "plain_name"]

MAX_TEXT = 6000  # MLflow's limit for a parameter's value
MAX_NAME = 250  # and for a name
_FORBIDDEN = re.compile(r"[^\w\-. :/]", re.ASCII)


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names and texts, in order; empty mappings stay as ``{}``.

    >>> flatten({"learner": "sgd", "params": {"alpha": 0.5, "layers": [1, 2]}}, "training")
    {'training.learner': 'sgd', 'training.params.alpha': '0.5', 'training.params.layers': '[1, 2]'}
    """
    return {plain_name(name): param_text(value) for name, value in _leaves(section, prefix)}


def _leaves(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, name)
        else:
            yield name, value


def param_text(value: Any) -> str:
    """One value as a text of at most 6,000 characters; a longer one ends with its SHA-256.

    >>> param_text(None), param_text(True), param_text(("a", "b"))
    ('none', 'true', '["a", "b"]')
    """
    if isinstance(value, str):
        text = value
    elif value is None or isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, float):
        text = repr(float(value))
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return _shortened(text, MAX_TEXT)


def plain_name(name: str) -> str:
    """A name of the characters and length that MLflow allows; different names stay different.

    >>> plain_name("space.learning rate"), plain_name("größe")[:5]
    ('space.learning rate', 'gr__e')
    """
    cleaned = _FORBIDDEN.sub("_", name)
    # MLflow reads names as paths: one that is not in its plainest form is refused.
    cleaned = re.sub(r"/+", "/", cleaned).strip("/")
    if cleaned != name:
        cleaned = f"{cleaned} {hash_bytes(name.encode())[:8]}"
    return _shortened(cleaned, MAX_NAME)


def metric_name(stage: str, name: str) -> str:
    """The name of a stage's figure; MLflow's pages group by what stands before the slash.

    >>> metric_name("evaluate", "roc_auc")
    'evaluate/roc_auc'
    """
    return plain_name(f"{stage}/{name}")


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    mark = f"... sha256:{hash_bytes(text.encode())}"
    return text[: limit - len(mark)] + mark
