"""A kit as two files: a page of HTML for listeners, which needs no network, and the key to it."""

import base64
import json
from dataclasses import asdict
from pathlib import Path

from vc.config import digest, plain
from vc.errors import ConfigError
from vc.files import make_directory, write_text
from vc.listening import formats
from vc.listening.formats import Key
from vc.listening.kit import Folders, Kit
from vc.report.html import render


def write(kit: Kit, folders: Folders, title: str, output: Path) -> None:
    """Write key.json and test.html into `output`; refuse a folder that holds a key, for answers may belong to it."""
    key = output / "key.json"
    if key.exists():
        raise ConfigError(f"{key}: holds the key of a test already; choose another --output, or remove it")
    content = _content(kit)
    make_directory(output)
    write_text(key, json.dumps(plain(_key(kit, folders, title, content["test"])), indent=1) + "\n")
    write_text(output / "test.html", _page(kit, title, content))


def _content(kit: Kit) -> dict:
    """What the script of the page works with; nothing in it tells a system."""
    content = {
        "format": formats.TEST,
        "version": formats.VERSION,
        "kind": kit.kind,
        "grades": formats.GRADES if kit.kind == "mos" else None,
        "practice": [{"id": id, **asdict(item)} for id, item in kit.practice.items()],
        "items": [{"id": id, **asdict(item)} for id, item in kit.items.items()],
        "sounds": {id: base64.b64encode(sound).decode() for id, sound in kit.contents.items()},
    }
    return {**content, "answers": formats.ANSWERS, "test": digest(content)}


def _key(kit: Kit, folders: Folders, title: str, test: str) -> Key:
    return Key(
        format=formats.KEY,
        version=formats.VERSION,
        test=test,
        kind=kit.kind,
        title=title,
        seed=kit.seed,
        sample_rate_hz=kit.rate,
        level_db=round(kit.level, 2),
        systems={name: str(folder) for name, folder in folders.by_name.items()},
        sounds=kit.sounds,
        items=kit.items,
    )


def _page(kit: Kit, title: str, content: dict) -> str:
    count = len(kit.items)
    length = f"{count} {'recordings' if kit.kind == 'mos' else 'comparisons'}, about {kit.duration}"
    return render("vc.listening", "test.html", title=title, kind=kit.kind, length=length, content=content)
