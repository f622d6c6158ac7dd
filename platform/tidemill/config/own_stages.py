"""``stages`` in params.yaml: stages of the user's own, between those of tidemill."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pydantic import Field, JsonValue, field_validator

from tidemill.config.sections import Section

__all__ = ["OwnStageConfig"]

_ADDRESS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class OwnStageConfig(Section):
    """One stage of the user's own: a function, what it reads, and what it leaves."""

    call: str = Field(description="module:name of the function; the module lies beside params.yaml")
    after: str | None = Field(
        None, description="the stage that it follows, tidemill's or yours; null: it comes first"
    )
    reads: tuple[str, ...] = Field(
        (), description="files and folders below the workspace that it reads"
    )
    writes: tuple[str, ...] = Field(
        (), description="files and folders below the workspace that it leaves; no other stage's"
    )
    params: dict[str, JsonValue] = Field(
        default_factory=dict, description="what the function is told"
    )

    @field_validator("call")
    @classmethod
    def _is_address(cls, call: str) -> str:
        if not _ADDRESS.fullmatch(call):
            raise ValueError("is not module:name")
        return call

    @field_validator("reads", "writes")
    @classmethod
    def _are_inside(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for text in paths:
            path = PurePosixPath(text)
            plain = str(path) == text and text != "." and ".." not in path.parts
            if path.is_absolute() or not plain or any(sign in text for sign in "*?[$"):
                raise ValueError(
                    f"{text!r} is no plain path below the workspace (data/mine, reports/mine.json)"
                )
        if len(set(paths)) < len(paths):
            raise ValueError("names a path twice")
        return paths

    @field_validator("writes")
    @classmethod
    def _are_apart(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            for other in paths:
                if path != other and PurePosixPath(path).is_relative_to(other):
                    raise ValueError(f"{path!r} lies in {other!r}, which is left whole: name one")
        return paths
