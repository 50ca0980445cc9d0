"""How the page looks: its frame, its letters, and the colours of numbers."""

from __future__ import annotations

from bokeh.models import ColorBar
from bokeh.palettes import Category10_10, Cividis256, Greys256, Inferno256, RdBu11, Turbo256, Viridis256, interp_palette
from bokeh.plotting import figure

from workflows.pages.frame import FAINT, FONT, INK

PALETTES = {
    "Viridis": Viridis256,
    "Cividis": Cividis256,
    "Inferno": Inferno256,
    "Grey": Greys256,
    "Turbo": Turbo256,
    "Red and blue": interp_palette(RdBu11, 255),
}
"""From low to high; of an odd number of colours the middle one is zero."""

DIVERGING = "Red and blue"
"""The palette whose middle is zero."""

MISSING = "#d4d4cf"
LINES = Category10_10
WORDS = f"""
:host {{ color: {INK}; font: 14px/1.45 {FONT}; }}
h1 {{ font-size: 19px; font-weight: 600; margin: 0; }}
p {{ margin: 2px 0 0; }}
.faint {{ color: {FAINT}; }}
.time {{ font-size: 19px; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.wrong {{ color: #a3271c; }}
table {{ margin-top: 6px; border-collapse: collapse; font-variant-numeric: tabular-nums; }}
td {{ text-align: left; white-space: nowrap; padding: 2px 14px 2px 0; font-weight: 400; vertical-align: baseline; }}
td.number {{ text-align: right; font-weight: 600; }}
.key {{ display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 7px; }}
"""

CONTROLS = f"""
:host {{ color: {INK}; font: 13px/1.4 {FONT}; }}
.bk-input-group > label {{ color: {FAINT}; font-size: 12px; padding: 0; }}
"""


def key(number: int) -> str:
    """A dot of the colour that the lines of a volume have, in HTML."""
    return f'<span class="key" style="background:{LINES[number % len(LINES)]}"></span>'


def words(text: str) -> str:
    """A text from somebody's data as a figure shows it: Bokeh would fetch MathJax to set what it takes for TeX."""
    return text.replace("$$", "$ $").replace("\\(", "(").replace("\\[", "[")


def plain(**settings) -> figure:
    """A figure without ornaments."""
    made = figure(**settings)
    made.toolbar.logo = None
    made.grid.visible = False
    made.outline_line_color = "#c9cdd1"
    for axis in (*made.xaxis, *made.yaxis):
        axis.axis_line_color = None
        axis.major_tick_line_color = axis.minor_tick_line_color = "#c9cdd1"
        axis.minor_tick_line_color = None
        axis.major_tick_in = 0
        axis.major_label_text_color = axis.axis_label_text_color = "#5b6268"
        axis.major_label_text_font = axis.axis_label_text_font = FONT
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_standoff = 4
    made.title.text_font, made.title.text_font_size = FONT, "13px"
    made.title.text_color, made.title.text_font_style = INK, "bold"
    return made


def bar(mapper, unit: str) -> ColorBar:
    """A colour bar with its unit."""
    return ColorBar(
        color_mapper=mapper, width=12, padding=4, margin=0, label_standoff=6, title=words(unit) or None,
        title_text_font=FONT, title_text_font_size="12px", title_text_font_style="normal", title_text_color="#5b6268",
        title_standoff=7,
        major_label_text_font=FONT, major_label_text_font_size="12px", major_label_text_color="#5b6268",
        bar_line_color=None, major_tick_line_color=None, border_line_color=None, background_fill_color=None,
    )  # fmt: skip
