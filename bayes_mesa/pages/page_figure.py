"""A figure of the report: an SVG in the page's own colours, with a caption, a text and its data."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Any

from bayes_mesa.plots.plot_style import COLOURS, DECEPTIVE_COLOUR, HONEST_COLOUR

#: Drawn in this colour, so that the page can put its own ink in its place, light or dark.
INK = "#010203"
#: Colours of drawings that the page has its own shades of, one for light and one for dark.
_SHADES = {
    HONEST_COLOUR.lower(): "var(--blue)",
    DECEPTIVE_COLOUR.lower(): "var(--orange)",
    # On dark ground blue and orange are lighter, and these two would be taken for them.
    COLOURS[4].lower(): "var(--sky)",
    COLOURS[5].lower(): "var(--amber)",
}


@dataclass(frozen=True)
class Data:
    """What a figure shows, as a table of texts."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ReportFigure:
    """A drawing (safe SVG), what to see in it, and its data. ``alt`` says what is drawn."""

    svg: Any
    alt: str
    caption: str
    data: Data


def page_figure(
    draw: Callable[[], tuple[Any, Any]], name: str, alt: str, caption: str, data: Data
) -> ReportFigure:
    """A figure from what draws it, as ``(figure, axes)``; ``name`` is its own on the page."""
    return ReportFigure(_svg(draw, alt, name), alt, caption, data)


def _svg(draw: Callable[[], tuple[Any, Any]], alt: str, salt: str) -> Any:
    """An inline SVG in the page's own ink; `salt` keeps the ids of several apart."""
    import matplotlib
    from markupsafe import Markup, escape

    style: dict[Any, Any] = dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    )
    fixed: dict[Any, Any] = {
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "font.size": 12,
        "legend.fontsize": 11,
        "savefig.dpi": 150,
    }
    # The page's letters are the reader's own: what Matplotlib's lack is no loss.
    with matplotlib.rc_context(style | fixed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure, _ = draw()
        buffer = StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    # Matplotlib has escaped every label, so that markup can be told from text by its brackets.
    body = re.sub(r"^.*?<svg|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"<>]*"', "<g", body)
    body = re.sub(r"<[^<>]*>", lambda tag: _in_the_page_s_colours(tag.group()), body)
    return Markup(f'<svg role="img" aria-label="{escape(alt)}"{body}')


def _in_the_page_s_colours(tag: str) -> str:
    """Style of one tag; the text between tags is a model's, and stays as it is."""
    tag = tag.replace(INK, "currentColor")
    for colour, shade in _SHADES.items():
        tag = tag.replace(f": {colour}", f": {shade}")
    return tag
