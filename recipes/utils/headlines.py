#!/usr/bin/env python3
"""metrics.json files -> the headline of each evaluation, and the address of its page.

headlines.py exp/*/evaluation/*/metrics.json
"""

import json
import sys
from pathlib import Path

for path in map(Path, sys.argv[1:]):
    content = json.loads(path.read_text())
    for headline in content.get("headlines", {}).values():
        print(f"{content['title']}: {headline}")
    print(f"Report: {(path.absolute().parent / 'report.html').as_uri()}")
