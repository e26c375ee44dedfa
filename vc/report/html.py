"""Names and figures as HTML."""

import html
import math

from vc.metrics.registry import METRICS

# Of every page that we write: it asks nobody for anything.
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src data:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<h1>$title</h1>
"""
NAMES = {
    "converted": "Converted",
    "unconverted": "Source as it is",
    "mean_variance": "Mean and variance only",
    "copy_synthesis": "Target through the vocoder",
    "reference": "Target",
}


def shown(text: object) -> str:
    """Any text as Unicode; bytes of a file name that are not UTF-8 become question marks."""
    return str(text).encode("utf-8", "replace").decode()


def safe(text: object) -> str:
    """Any text as HTML."""
    return html.escape(shown(text))


def name_of(system: str) -> str:
    """What a reader calls a system."""
    return NAMES.get(system, system.replace("#", ", run "))


def number(value: float, metric: str) -> str:
    """A figure with its metric's decimals."""
    return "-" if math.isnan(value) else f"{round(value, METRICS[metric].decimals) + 0.0:.{METRICS[metric].decimals}f}"
