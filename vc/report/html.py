"""Pages of HTML, filled from the templates of a package, and names and figures as a reader sees them."""

import base64
import math
from functools import cache
from typing import Any

from vc.metrics.registry import METRICS

NAMES = {
    "converted": "Converted",
    "unconverted": "Source as it is",
    "mean_variance": "Mean and variance only",
    "copy_synthesis": "Target through the vocoder",
    "reference": "Target",
}


def render(package: str, template: str, **values: Any) -> str:
    """A page from `package`/templates/`template`; values are escaped, whatever names they hold.

    Parameters
    ----------
    package : str
        Name of the package whose folder `templates` is searched first, then this one's.
    template : str
        The file's name. It extends page.html, which loads nothing from elsewhere.
    **values
        What the template shows.
    """
    return _environment(package).get_template(template).render(values)


def as_unicode(text: object) -> str:
    """Any text as Unicode; bytes of a file name that are not UTF-8 become question marks."""
    return str(text).encode("utf-8", "replace").decode()


def as_number(value: float, metric: str) -> str:
    """A figure with its metric's decimals; `-` for NaN."""
    return "-" if math.isnan(value) else f"{round(value, METRICS[metric].decimals) + 0.0:.{METRICS[metric].decimals}f}"


def name_of(system: str) -> str:
    """A system's name for readers."""
    return NAMES.get(system, system.replace("#", ", run "))


def data_url(media_type: str, content: bytes) -> str:
    """Content as an address that needs no network."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@cache
def _environment(package: str) -> "jinja2.Environment":  # noqa: F821 - not light
    import jinja2
    from markupsafe import Markup

    loader = jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in dict.fromkeys([package, __package__])])
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else as_unicode(value),
    )
    # Styles and scripts are ours, and no templates: their braces are not jinja's
    environment.globals["verbatim"] = lambda name: Markup(loader.get_source(environment, name)[0])
    return environment
