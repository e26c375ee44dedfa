"""docs/first_hour.md as it stands, at a terminal: what the commands print is what the page shows, but for figures."""

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import CORPUS, ROOT, commands, environment

PAGE = ROOT / "docs/first_hour.md"
SHOWN = re.compile(r"^```bash\n(vc-[^`]*)```\n\n<!-- [^\n]* -->\n```text\n(.*?)```$", re.MULTILINE | re.DOTALL)


def printed(line: str, folder: Path) -> str:
    """What a command prints at a terminal, without its progress bars and the folder's name."""
    reader, terminal = pty.openpty()
    surroundings = environment(HOME=str(folder), CUDA_VISIBLE_DEVICES="", PATH=f"{commands()}:{os.environ['PATH']}")
    process = subprocess.Popen(
        ["bash", "-euc", line], cwd=folder, env=surroundings, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    parts = []
    try:
        while part := os.read(reader, 1 << 16):
            parts.append(part)
    except OSError:  # the terminal's other end is closed
        os.close(reader)
    text = b"".join(parts).decode()
    assert process.wait() == 0, text
    lines = [line.split("\r")[-1].replace("\x1b[A", "") for line in text.replace("\r\n", "\n").splitlines()]
    kept = [line for line in lines if line.strip() and not re.search(r"\d%", line)]
    return "".join(f"{line}\n" for line in kept).replace(str(folder), "/home/anna/vc")


def lay_out(folder: Path) -> None:
    """Lay out what the page's first block makes."""
    (folder / "egs").symlink_to(ROOT / "egs")
    for who, name in {"slt": "anna", "rms": "bert"}.items():
        shutil.copytree(CORPUS / "train" / who, folder / "recordings" / name)


def without_figures(text: str) -> list[str]:
    """Lines whose figures, grades and lists of what is missing may be others on another machine."""
    text = re.sub(r"\d+(\.\d+)?", "0", text)
    text = re.sub(r"0 (s|min|h 0 min)\b", "0 s", text)
    text = text.replace("0 processes", "0 process")
    return [line for line in text.splitlines() if "Sounds like" not in line and "measure" not in line]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_shows_what_the_commands_print(tmp_path):
    lay_out(tmp_path)
    shown = SHOWN.findall(PAGE.read_text())
    assert len(shown) == 3
    for line, output in shown:
        assert without_figures(printed(line, tmp_path)) == without_figures(output)
