"""Read Kaldi-style lists (an id and a value on each line), and report every fault with its file and line."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from vc.files import read_bytes

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LARGEST_LIST = 64 * 1024 * 1024  # bytes of a list
MOST_LINES = 2_000_000  # of a list; each takes about 400 bytes in memory
MOST_FAULTS = 1000  # reported for a list


@dataclass(frozen=True)
class Fault:
    """A fault in a file."""

    path: Path
    line: int  # 0: the whole file
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}" if self.line else f"{self.path}: {self.text}"


class Table:
    """A list: `rows` maps ids to the rest of the line, `lines` to line numbers.

    Parameters
    ----------
    path : Path
        The file to read.
    faults : list of Fault
        Faults are appended here, not raised.
    columns : int
        Smallest number of columns of a line, including the id.
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
                self.fault(number, f"{id} is already on line {self.lines[id]}")
            else:
                if self.rows and id < next(reversed(self.rows)):
                    self.fault(number, f"{id} is out of order; sort in the C locale")
                self.rows[id], self.lines[id] = rest.strip(), number

    def fault(self, line: int, text: str) -> None:
        """Report a fault in a line, or in the whole file (0)."""
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
            content = read_bytes(self.path, LARGEST_LIST)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:  # a device, a stalled pipe, or a file that is too large
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
