#!/usr/bin/env python3
"""metrics.json files -> what each evaluation says in one sentence, and the address of its page.

said.py exp/*/evaluation/*/metrics.json
"""

import json
import sys
from pathlib import Path

for path in map(Path, sys.argv[1:]):
    content = json.loads(path.read_text())
    for sentence in content.get("headlines", {}).values():
        print(f"{content['title']}: {sentence}")
    print(f"Report: {(path.absolute().parent / 'report.html').as_uri()}")
