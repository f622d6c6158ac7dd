"""What people see on the page of a flow run: tables, links, the reason of a failure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import httpx
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from tidemill.errors import TidemillError
from tidemill.pipeline import Quiet

if TYPE_CHECKING:
    from tidemill.pipeline import RunSummary, StageRun
    from tidemill.stages import StageResult

__all__ = ["RunLog", "failures_published", "publish_result", "publish_stage", "publish_summary"]


class RunLog(Quiet):
    """An observer whose warnings are in the flow run's log; its stages are tasks anyway."""

    def warned(self, text: str) -> None:
        """Write a stage's warning to the flow run's log."""
        get_run_logger().warning("%s", text)


def publish_stage(run: StageRun) -> None:
    """Publish a stage's figures, tables, links and warnings."""
    cost = {
        "seconds": round(run.seconds, 2),
        "peak memory (MB)": round(run.peak_memory_bytes / 1e6, 1),
        **run.worker_figures(),
    }
    _publish(run.stage, run.result, cost)


def publish_result(said: StageResult) -> None:
    """Publish what something that works like a stage, outside of a run, says about itself."""
    _publish(said.stage, said, {})


def _publish(stage: str, said: StageResult, cost: Mapping[str, Any]) -> None:
    with _best_effort():
        create_markdown_artifact(
            f"# {stage}\n\n{_two_columns({**cost, **said.facts})}"
            f"{_bullets('Warnings', said.warnings)}",
            key=_key(stage),
            description=f"What the stage {stage} says about itself",
        )
        for name, rows in said.tables.items():
            if not rows:
                continue
            create_table_artifact(
                [{column: _cell(value) for column, value in row.items()} for row in rows],
                key=_key(stage, name),
                description=f"{stage}: {name}",
            )
        for name, address in said.links.items():
            create_link_artifact(address, link_text=name, key=_key(stage, name), description=name)


def publish_summary(summary: RunSummary) -> None:
    """Publish the whole run: one table of its figures, one of its stages."""
    document = dict(summary.to_json())
    stages = document.pop("stages", [])
    with _best_effort():
        create_table_artifact(
            [{"what": name, "value": _cell(value)} for name, value in document.items()],
            key="summary",
            description="The run",
        )
        create_table_artifact(
            [{name: _cell(value) for name, value in row.items()} for row in stages],
            key="stages",
            description="The stages of the run, and what each cost",
        )


@contextmanager
def failures_published() -> Iterator[None]:
    """Publish what went wrong in the block and what to do about it; the error goes on."""
    try:
        yield
    except TidemillError as error:
        with _best_effort():
            create_markdown_artifact(
                f"# {error.code}\n\n{_text(error.message)}\n\n"
                f"**Remedy:** {_text(error.remedy)}\n\n"
                f"{_two_columns(error.fields)}",
                key="failure",
                description=_text(error.message),
            )
            get_run_logger().error("%s: %s; %s", error.code, error.message, error.remedy)
        raise


@contextmanager
def _best_effort() -> Iterator[None]:
    # A page that could not be written is no reason to lose a stage's work.
    try:
        yield
    except (httpx.HTTPError, PrefectException) as exc:
        get_run_logger().warning("artifact not published: %s", exc)


def _key(*names: str) -> str:
    """A key as Prefect wants it: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(names).lower()).strip("-") or "artifact"


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


def _two_columns(figures: Mapping[str, Any]) -> str:
    if not figures:
        return ""
    lines = [f"| {_text(name)} | {_text(_cell(value))} |" for name, value in figures.items()]
    return "\n".join(["| what | value |", "| --- | --- |", *lines, ""])


def _bullets(title: str, texts: tuple[str, ...]) -> str:
    return f"\n## {title}\n\n" + "\n".join(f"- {_text(text)}" for text in texts) if texts else ""


def _text(value: Any) -> str:
    """Text that markdown shows as it is: names and values of the data are no markup."""
    return _MARKUP.sub(r"\\\g<0>", escape(str(value).replace("\n", " "), quote=False))


_MARKUP = re.compile(r"[\\`*\[\]|]")
