"""The visual language: one canvas, one palette, one way to write a title, one way to save.

Nothing global is touched: figures are made without pyplot, and the style holds only while a
figure is drawn. Fonts are those that come with matplotlib, so that the bytes of a PNG depend
on the values and on matplotlib's version alone.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidemill.storage import write_bytes

__all__ = [
    "BASELINE",
    "INK",
    "MUTED",
    "PALETTE",
    "SEQUENTIAL",
    "canvas",
    "compact",
    "shorten",
    "titled",
]

INK = "#1f2933"
MUTED = "#5f6c7b"
BASELINE = "#8a96a3"
# Okabe & Ito (2008), told apart with every common kind of colour blindness.
PALETTE = {"main": "#0072B2", "second": "#D55E00", "third": "#009E73", "fourth": "#CC79A7"}
SEQUENTIAL = ("#f7fbfe", "#cfe3f2", "#8fc0de", "#3b8fc2", "#0072B2", "#004a75")

_STYLE: Any = {  # matplotlib's own type of it is the list of all 300 names
    "axes.axisbelow": True,
    "axes.edgecolor": "#c4ccd4",
    "axes.facecolor": "#ffffff",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelpad": 8,
    "axes.labelsize": 10.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "#ffffff",
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "grid.color": "#e9edf1",
    "grid.linewidth": 0.9,
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0,
    "text.color": INK,
    "text.parse_math": False,  # a column may be called $x$
    "xtick.color": MUTED,
    "xtick.labelsize": 10,
    "xtick.major.size": 0,
    "ytick.color": MUTED,
    "ytick.labelsize": 10,
    "ytick.major.size": 0,
}
_DPI = 120


@contextmanager
def canvas(path: Path, *, width: float = 7.2, height: float = 5.4) -> Iterator[Any]:
    """Yield a matplotlib figure of this size in inches; afterwards write it to ``path``.

    Raises
    ------
    StorageFailed
        If the disk refuses.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context():
        # A user's matplotlibrc must not change the bytes.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), dpi=_DPI)
        FigureCanvasAgg(figure)
        yield figure
        out = io.BytesIO()
        with warnings.catch_warnings():
            # A name in a script that the font lacks shows as boxes: no reason to warn.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(out, format="png", metadata={"Software": None})
    write_bytes(path, out.getvalue())


def titled(
    figure: Any, finding: str, detail: str, *, left: float = 0.115, **margins: float
) -> None:
    """Write the finding above the axes, and below it in small print what it rests on."""
    height = figure.get_size_inches()[1]
    figure.subplots_adjust(
        **{"left": left, "right": 0.955, "top": 1 - 0.92 / height, "bottom": 0.68 / height}
        | margins
    )
    figure.text(
        0.03, 1 - 0.22 / height, finding, fontsize=14, fontweight="bold", va="top", color=INK
    )
    figure.text(0.03, 1 - 0.53 / height, detail, fontsize=10.5, va="top", color=MUTED)


def compact(number: float) -> str:
    """A number for a label: 950, 12.3k, 4.56M, 0.0123.

    >>> [compact(x) for x in (0, 950, 12_345, 4_560_000, 0.01234, -2.5)]
    ['0', '950', '12.3k', '4.56M', '0.0123', '-2.5']
    """
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= limit:
            return f"{number / (1e3 if letter == 'k' else limit):.3g}{letter}"
    return f"{number:.0f}" if float(number).is_integer() else f"{number:.3g}"


def shorten(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, the middle left out.

    >>> shorten("pickup_location_identifier", 12)
    'picku…tifier'
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"
