"""Rows out of JSON, column by column: all values of a field are read at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill_monitor.intake.column_readers import FieldReader
from tidemill_monitor.intake.plans import IntakePlan
from tidemill_monitor.intake.row_faults import Fault, Rows, Sorted, good_rows
from tidemill_monitor.intake.twice import Twice

__all__ = ["extra_problem", "finish", "first_few", "kept_of", "read_rows"]

_NO_ROWS = np.zeros(0, np.int64)


def read_rows(rows: Sequence[Any], plan: IntakePlan, faults: Sequence[Fault] = ()) -> Sorted:
    """Sort rows into good ones and faults.

    Parameters
    ----------
    rows : sequence
        What a JSON parser made of each; anything but objects is refused.
    plan : IntakePlan
    faults : sequence of Fault
        Of rows that could not be parsed; those rows are not looked at again.

    Returns
    -------
    Sorted
        Its table has the columns of ``plan.head``, then ``plan.features``. The time feature is
        null where it was left out.

    Notes
    -----
    Memory: a few lists of the values, and the table.
    """
    found = list(faults)
    alive = good_rows(len(rows), found)
    given = list(rows) if not found else [rows[i] for i in alive.tolist()]
    records, alive = _objects(given, alive, "", found)
    records, alive, orders = _keyed(records, alive, _head_problem(plan), found)
    columns: dict[str, Any] = {}
    if plan.features:
        inner, within = _objects([r.get("features") for r in records], alive, "features", found)
        inner, within, inner_orders = _keyed(inner, within, _feature_problem(plan), found)
        if len(within) < len(alive):
            records = [records[i] for i in np.searchsorted(alive, within).tolist()]
            alive = within
        columns = _transposed(inner, inner_orders, plan.features)
    arrays = _read(plan.head, _transposed(records, orders, plan.head), alive, found)
    arrays |= _read(plan.features, columns, alive, found)
    return finish(len(rows), plan, arrays, alive, found)


def finish(
    rows: int, plan: IntakePlan, arrays: Mapping[str, Any], alive: Rows, faults: list[Fault]
) -> Sorted:
    """Drop the rows with faults from columns that hold the rows ``alive``."""
    altered = [found for found in faults if found.alters]
    faults = [fault for fault in faults if not fault.alters]
    for name in sorted(plan.required):
        if not arrays[name].null_count:
            continue
        empty = arrays[name].is_null().to_numpy(zero_copy_only=False)
        known = [fault.rows for fault in faults if fault.field == name]
        missing = np.setdiff1d(alive[empty], np.concatenate(known) if known else _NO_ROWS)
        if len(missing):
            faults.append(Fault(name, "missing", "must have a value", missing))
    table = pa.table(dict(arrays))
    good = good_rows(rows, faults)
    if len(good) < len(alive):
        table = table.take(pa.array(np.searchsorted(alive, good)))
    return Sorted(rows, table, good, faults, kept_of(altered, good))


def kept_of(altered: Iterable[Fault], good: Rows) -> list[Fault]:
    """The same of good rows alone."""
    kept = [replace(found, rows=np.intersect1d(found.rows, good)) for found in altered]
    return [found for found in kept if len(found.rows)]


def _objects(
    values: list[Any], alive: Rows, field: str, faults: list[Fault]
) -> tuple[list[dict[str, Any]], Rows]:
    """The values that are objects, and their rows."""
    if set(map(type, values)) <= {dict}:
        return values, alive
    good = np.array([type(value) is dict for value in values], np.bool_)
    absent = np.array([value is None for value in values], np.bool_) if field else ~good & False
    twice = np.array([type(value) is Twice for value in values], np.bool_)
    faults += _repeated(values, alive, twice)
    for code, detail, bad in (
        ("missing", "must have a value", absent),
        ("type", "must be an object", ~(good | absent | twice)),
    ):
        if bad.any():
            faults.append(Fault(field, code, detail, alive[bad]))
    return [value for value in values if type(value) is dict], alive[good]


def _repeated(values: list[Any], alive: Rows, twice: npt.NDArray[np.bool_]) -> Iterator[Fault]:
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(twice).tolist():
        for name in values[row].names:
            rows.setdefault(shown_name(name), []).append(row)
    for name, where in rows.items():
        yield Fault(name, "twice", "is given twice in one object", alive[np.array(where)])


Problem = tuple[str, str, str]  # field, code, detail
Order = tuple[str, ...]


def _keyed(
    records: list[dict[str, Any]], alive: Rows, problems: Any, faults: list[Fault]
) -> tuple[list[dict[str, Any]], Rows, set[Order]]:
    """The records whose keys are as they should be; each order of keys is looked at once."""
    orders = {tuple(record) for record in records}
    bad = {order: found for order in orders if (found := problems(order))}
    if not bad:
        return records, alive, orders
    rows: dict[Problem, list[int]] = {}
    kept = []
    for position, record in enumerate(records):
        found = bad.get(tuple(record))
        if found is None:
            kept.append(position)
            continue
        for problem in found:
            rows.setdefault(problem, []).append(position)
    for (field, code, detail), where in rows.items():
        faults.append(Fault(field, code, detail, alive[np.array(where, np.int64)]))
    keep = np.array(kept, np.int64)
    return [records[i] for i in kept], alive[keep], orders.difference(bad)


def _head_problem(plan: IntakePlan) -> Any:
    allowed = {*plan.head, *(("features",) if plan.features else ())}

    def problems(order: tuple[str, ...]) -> list[Problem]:
        return [
            extra_problem(name) for name in first_few(key for key in order if key not in allowed)
        ]

    return problems


def _feature_problem(plan: IntakePlan) -> Any:
    needed = plan.features.keys() - {plan.time}

    def problems(order: tuple[str, ...]) -> list[Problem]:
        missing = needed.difference(order)
        return [
            *((name, "missing", "must be given; null says unknown") for name in sorted(missing)),
            *(
                extra_problem(name)
                for name in first_few(k for k in order if k not in plan.features)
            ),
        ]

    return problems


def extra_problem(name: str) -> Problem:
    """What is said of a field that the model does not have."""
    return shown_name(name), "extra", "is no field of the model's events"


def shown_name(name: str) -> str:
    """The one thing of a request that is said back: the name of a field, cut, harmless."""
    return name.encode("ascii", "backslashreplace").decode()[:64]


def first_few(names: Iterable[str], limit: int = 10) -> list[str]:
    """The first names; a row may hold thousands."""
    return [name for name, _ in zip(names, range(limit), strict=False)]


def _transposed(
    records: list[dict[str, Any]], orders: set[Order], names: Iterable[str]
) -> dict[str, Sequence[Any]]:
    """The values of each name; None where a record has none."""
    if len(orders) != 1:
        return {name: [record.get(name) for record in records] for name in names}
    (order,) = orders
    columns = zip(*(record.values() for record in records), strict=True)
    found = dict(zip(order, columns, strict=False))
    absent = (None,) * len(records)
    return {name: found.get(name, absent) for name in names}


def _read(
    cells: Mapping[str, FieldReader],
    columns: Mapping[str, Sequence[Any]],
    alive: Rows,
    faults: list[Fault],
) -> dict[str, Any]:
    arrays = {}
    for name, reader in cells.items():
        arrays[name], found = reader.read(columns[name])
        faults.extend(fault.at(alive) for fault in found)
    return arrays
