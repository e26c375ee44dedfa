"""Training: one loop, one file a family of methods, one way to save and resume.

`vc.train(...)` is what `vc-train` does with folders of recordings: `help(vc.api.train)`.
"""

from vc.callable_package import make_callable

make_callable(__name__)
