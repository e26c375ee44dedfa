"""Lists in Kaldi's manner, an id and the rest of a line: read with every fault named by file and line."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from vc.files import read_bytes

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LARGEST = 64 * 1024 * 1024  # bytes of a list
MOST_LINES = 2_000_000  # of one, which take some 400 bytes each once they are read
MOST_FAULTS = 1000  # of one that are reported


@dataclass(frozen=True)
class Fault:
    """What is wrong, in which file, at which line (0: the whole file)."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}" if self.line else f"{self.path}: {self.text}"


class Table:
    """One list: id -> rest of the line, with the line's number.

    Parameters
    ----------
    path : Path
        The list's file.
    faults : list of Fault
        To which its faults are added; none is raised.
    columns : int
        Of a line, the id among them.
    """

    def __init__(self, path: Path, faults: list[Fault], columns: int = 2):
        self.path, self.faults, self._fault_count = path, faults, 0
        self.rows: dict[str, str] = {}
        self.lines: dict[str, int] = {}
        for number, line in enumerate(self._read(), 1):
            if line.endswith("\r"):
                self.fault(number, "ends in CR LF; use LF alone")
                line = line[:-1]
            id, _, rest = line.partition(" ")
            if not IDENTIFIER.fullmatch(id):
                self.fault(number, f"id {id!r} must be letters, digits, '.', '_' and '-', not '-' or '.' first")
            elif len(line.split(maxsplit=columns - 1)) < columns:
                self.fault(number, f"expected {columns} columns: {line!r}")
            elif id in self.rows:
                self.fault(number, f"{id} stands on line {self.lines[id]} already")
            else:
                if self.rows and id < next(reversed(self.rows)):
                    self.fault(number, f"{id} is out of order; sort in the C locale")
                self.rows[id], self.lines[id] = rest.strip(), number

    def fault(self, line: int, text: str) -> None:
        """Report a fault of a line, or of the whole file (0)."""
        self._fault_count += 1
        if self._fault_count <= MOST_FAULTS:
            self.faults.append(Fault(self.path, line, text))
        elif self._fault_count == MOST_FAULTS + 1:
            self.faults.append(Fault(self.path, 0, f"more faults than these {MOST_FAULTS}"))

    def _read(self) -> list[str]:
        if not os.path.exists(self.path):
            self.fault(0, "missing")
            return []
        try:
            content = read_bytes(self.path, LARGEST)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:  # a device, a pipe that is silent, or far too much
            self.fault(0, error.strerror)
            return []
        if content.startswith(b"\xef\xbb\xbf"):
            self.fault(1, "starts with a byte order mark; save as plain UTF-8")
            content = content[3:]
        if content.count(b"\n") > MOST_LINES:
            self.fault(0, f"more than {MOST_LINES} lines")
            return []
        if b"\0" in content:
            self.fault(content[: content.index(b"\0")].count(b"\n") + 1, "holds a NUL byte")
            return []
        lines = content.decode("utf-8", "surrogateescape").split("\n")
        if lines[-1]:
            self.fault(len(lines), "last line does not end in a newline")
        else:
            lines.pop()
        if not lines:
            self.fault(0, "empty")
        return lines
