"""Whether the target's recordings say the source's sentences: what the data tell, beside what the names claim."""

from collections.abc import Sequence

import numpy as np

from vc.evaluate.verdict import BAD, Finding
from vc.metrics import content
from vc.metrics.content import Content

SAME = 0.6  # content distance: two speakers of VCC2016 have 0.25 to 0.34 in the same sentence, 0.9 and more in others
MOST = 0.5  # of the sentences
COMPARED = 8  # of the source's sentences, each with up to CANDIDATES of the target's
CANDIDATES = 40


def check_sentences(source: Sequence[Content], target: Sequence[Content], parallel: bool) -> Finding | None:
    """A finding where names and data disagree.

    Parameters
    ----------
    source, target : sequence of Content
        By sentence, in one order if they are `parallel`.
    parallel : bool
        Whether the names say that sentences of one place are the same.
    """
    if len(source) < 2 or not target:
        return None
    centre = content.centre_of(source)
    same = SAME * content.different_sentences(source, centre)
    if parallel:
        alike = sum(content.distance(one, other, centre) < same for one, other in zip(source, target, strict=True))
        if alike >= MOST * len(source):
            return None
        text = (
            f"The target says other sentences than the names claim: {len(source) - alike} of {len(source)} pairs differ"
            " in content, and figures that compare them say nothing."
        )
        return Finding("sentences", BAD, text, "the target says other sentences")
    places = np.unique(np.linspace(0, len(source) - 1, min(COMPARED, len(source))).round().astype(int))
    alike = sum(
        any(content.distance(source[place], other, centre) < same for other in target[:CANDIDATES]) for place in places
    )
    if alike < MOST * len(places):
        return None
    text = (
        f"The target says the same sentences, which are taken for others: {alike} of {len(places)} were found, and its"
        " own recording of a sentence counts as another one."
    )
    return Finding("sentences", BAD, text, "the target says the same sentences")
