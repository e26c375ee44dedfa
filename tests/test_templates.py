"""Templates of pages: whatever a value holds is text and no tag, and an installed package has every file."""

import configparser
import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from vc.report.html import render

ROOT = Path(__file__).parent.parent
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "</title><b>", "\udcff"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_title_is_text(name):
    page = render("vc.listening", "test.html", title=name, kind="mos", length="1 recording", content={})
    plain = render("vc.listening", "test.html", title="name", kind="mos", length="1 recording", content={})
    assert re.findall("<[a-z]+", page) == re.findall("<[a-z]+", plain) and "49" not in page
    page.encode()


@pytest.mark.parametrize("name", HOSTILE)
def test_data_of_a_script_comes_back_and_ends_nothing(name):
    page = render("vc.listening", "test.html", title="", kind="abx", length="", content={"name": name})
    (content,) = re.findall(r'<script type="application/json" id="test">(.*?)</script>', page, re.DOTALL)
    assert json.loads(content) == {"name": name}


def test_every_file_of_the_package_is_declared():
    """A wheel holds modules and what setup.cfg names, no more."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    patterns = {package: text.split() for package, text in parser["options.package_data"].items()}
    for path in (ROOT / "vc").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            folder = next(folder for folder in path.parents if (folder / "__init__.py").exists())
            package, name = ".".join(folder.relative_to(ROOT).parts), str(path.relative_to(folder))
            assert any(fnmatch(name, pattern) for pattern in patterns.get(package, [])), path
