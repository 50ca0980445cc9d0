"""The frame that all pages have: colours of letters, and the HTML around what Bokeh draws."""

from __future__ import annotations

from jinja2 import Template

INK, FAINT = "#2b2f33", "#8a9096"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

PAGE = Template(
    """{% extends base %}
{% block postamble %}
<link rel="icon" href="data:,">
<style>
  html, body { margin: 0; background: #fff; color: INK; font: 14px/1.45 FONT; }
  body { padding: 20px 28px; }
</style>
{% endblock %}""".replace("INK", INK).replace("FONT", FONT)
)
