"""A plain HTML table, as notebooks show it: every cell escaped, no style of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayes_mesa.text.wording import one_way

if TYPE_CHECKING:
    from markupsafe import Markup


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """The cells as text: whatever a name holds, it adds no element."""
    from markupsafe import Markup

    def row(cells: Sequence[str], tag: str) -> Markup:
        shown = (Markup(f"<{tag}>{{}}</{tag}>").format(one_way(c)) for c in cells)
        return Markup("<tr>{}</tr>").format(Markup("").join(shown))

    body = Markup("").join(row(r, "td") for r in rows)
    return Markup("<table><thead>{}</thead><tbody>{}</tbody></table>").format(
        row(header, "th"), body
    )


def html_line(text: str, *, strong: str = "") -> Markup:
    """A paragraph of text, after a few strong words."""
    from markupsafe import Markup

    lead = Markup("<strong>{}</strong> ").format(one_way(strong)) if strong else ""
    return Markup("<p>{}{}</p>").format(lead, one_way(text))
