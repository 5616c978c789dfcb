"""A comparison as one HTML file that needs nothing else: its data, style and plotting library are inside.

The plots are drawn by uPlot (MIT licence, `vendor/`), because a reader wants to zoom in.
"""

from __future__ import annotations

import json
from importlib.resources import files
from string import Template

from euca_rpc.lab.compare import Comparison

# figure → heading, unit, how many decimals; shares are shown as percent
SHOWN = (
    ("launched", "launched", "", 0),
    ("refused", "refused", "", 0),
    ("utilisation", "cores claimed", "%", 1),
    ("peak", "peak", "%", 1),
    ("active_nodes", "nodes in use", "", 2),
    ("node_hours", "node-hours", "", 0),
    ("awake_hours", "awake", "", 0),
    ("fragmentation", "fragmented", "%", 1),
    ("wait_mean", "wait, mean", "s", 1),
    ("wait_p95", "wait, 95 %", "s", 1),
    ("slowdown", "slowdown", "", 2),
    ("fairness", "fairness", "", 3),
    ("balance", "balance", "", 3),
    ("energy_kwh", "energy", "kWh", 0),
    ("evictions", "preempted", "", 0),
    ("missed", "missed", "", 0),
    ("as_recorded", "as recorded", "%", 1),
)


def shown(figure: str, value: float | None) -> str:
    """A figure as a person reads it."""
    unit, places = next((unit, places) for name, _, unit, places in SHOWN if name == figure)
    if value is None:
        return "not defined"
    text = f"{value * 100 if unit == '%' else value:,.{places}f}"
    return f"{text} {unit}" if unit else text


def html(comparison: Comparison) -> str:
    here = files("euca_rpc.lab")
    data = comparison.document() | {"shown": SHOWN}
    text = json.dumps(data, separators=(",", ":"))
    page = Template((here / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        data=text.replace("<", "\\u003c"),  # a name in the data cannot end the script element
        plot=(here / "vendor" / "uPlot.iife.min.js").read_text(encoding="utf-8").replace("</", "<\\/"),
        style=(here / "vendor" / "uPlot.min.css").read_text(encoding="utf-8"),
    )
