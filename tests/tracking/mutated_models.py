"""Loads mutated models in a process of its own: python mutated_models.py FOLDER FIRST COUNT.

FOLDER holds models (``*.skops``) and ``rows.parquet``. One line of JSON: how many were refused,
how many answered, the bytes that the process grew by at most, and what went wrong.
"""

from __future__ import annotations

import io
import json
import random
import re
import resource
import signal
import sys
import zipfile
from pathlib import Path

SECONDS = 20  # of the CPU, for one model; ten times that by the clock
NUMBERS = ("-1", "0", "1", "7", "255", "65536", "2147483647", "-2147483648", "4294967296")
NUMBERS += ("1e308", "1e999", "nan", "-inf", "99999999999999999999", "0.5", "", "x")
_FIGURE = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def mutated(content: bytes, seed: int) -> bytes:
    """Another model file; the same for the same seed."""
    rng = random.Random(seed)
    if rng.random() < 0.1:
        return _bytes(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        name = "schema.json" if rng.random() < 0.6 else rng.choice(sorted(entries))
        change = _schema if name == "schema.json" else _bytes
        entries[name] = change(entries[name], rng)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return target.getvalue()


def _bytes(data: bytes, rng: random.Random) -> bytes:
    how, at = rng.randrange(4), rng.randrange(max(len(data), 1))
    if how == 0:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if how == 1:
        return (
            data[:at]
            + data[at : at + 8].translate(bytes(255 - i for i in range(256)))[:8]
            + (data[at + 8 :])
        )
    if how == 2:
        return data[:at]
    return data[:at] + data[max(at - 16, 0) : at] + data[at:]


def _schema(data: bytes, rng: random.Random) -> bytes:
    """Half of the time within a LightGBM text, if there is one."""
    try:
        schema = json.loads(data)
    except ValueError:  # broken by a change before this one
        return _bytes(data, rng)
    texts = [node for node in _nodes(schema) if "Tree=0" in str(node.get("content"))]
    if not texts or rng.random() < 0.3:
        return _text(data.decode(), rng).encode()
    model = json.loads(texts[0]["content"])
    texts[0]["content"] = json.dumps(_text(model, rng))
    return json.dumps(schema).encode()


def _nodes(node):
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)


def _text(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    at, how = rng.randrange(len(lines)), rng.randrange(6)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(at, lines[rng.randrange(len(lines))])
    elif how == 2:
        return text[: rng.randrange(len(text))]
    elif how == 3 and len(text) > 2:
        place = rng.randrange(len(text))
        return text[:place] + chr(rng.randrange(32, 127)) + text[place + 1 :]
    else:
        place = rng.choice([*_FIGURE.finditer(text)] or [re.search("", text)])
        return text[: place.start()] + rng.choice(NUMBERS) + text[place.end() :]
    return "\n".join(lines)


def main(folder: Path, first: int, count: int) -> None:
    import numpy as np
    import pandas as pd

    from tidemill.tracking.skopsfile import read_pipeline

    rows = pd.read_parquet(folder / "rows.parquet")
    bases = [path.read_bytes() for path in sorted(folder.glob("*.skops"))]
    for base in bases:  # what is imported and compiled once is no growth
        read_pipeline(base).predict(rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused, answered, wrong = 0, 0, []
    for seed in range(first, first + count):
        print(seed, file=sys.stderr, flush=True)  # the last line names what crashed
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(10 * SECONDS)
        try:
            pipeline = read_pipeline(mutated(bases[seed % len(bases)], seed))
        except Exception:
            refused += 1
            continue
        answer = np.asarray(pipeline.predict(rows))
        answered += 1
        if len(answer) != len(rows) or (answer.dtype.kind == "f" and not np.isfinite(answer).all()):
            wrong.append(seed)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps({"refused": refused, "answered": answered, "grown": grown, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
