"""HTML pages rendered from a package's templates; names and numbers formatted for readers."""

import base64
import math
from functools import cache
from typing import Any

from vc.metrics.registry import METRICS

NAMES = {
    "converted": "Converted",
    "unconverted": "Source, unconverted",
    "mean_variance": "Mean and variance only",
    "copy_synthesis": "Target through the vocoder",
    "reference": "Target",
}


def render(package: str, template: str, **values: Any) -> str:
    """Render `package`/templates/`template`; all values are escaped.

    Parameters
    ----------
    package : str
        Package whose folder `templates` is searched before this package's.
    template : str
        File name. The template extends page.html, which loads no external resources.
    **values
        Variables of the template.

    Returns
    -------
    str
        HTML.
    """
    return _environment(package).get_template(template).render(values)


def as_unicode(text: object) -> str:
    """Text as valid Unicode; bytes of a file name that are not UTF-8 become question marks."""
    return str(text).encode("utf-8", "replace").decode()


def as_number(value: float, metric: str) -> str:
    """Format a figure with its metric's number of decimals; `-` for NaN."""
    return "-" if math.isnan(value) else f"{round(value, METRICS[metric].decimals) + 0.0:.{METRICS[metric].decimals}f}"


def name_of(system: str) -> str:
    """The display name of a system."""
    return NAMES.get(system, system.replace("#", ", run "))


def data_url(media_type: str, content: bytes) -> str:
    """Encode content as a `data:` URL."""
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
    # Styles and scripts are included as they are: their braces are not Jinja's
    environment.globals["verbatim"] = lambda name: Markup(loader.get_source(environment, name)[0])
    return environment
