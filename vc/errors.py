"""Errors that a user can cause, each with the exit status of a command."""

from collections.abc import Iterable

LONGEST = 5000  # characters of a line of an error message, enough for any path and a reason


class VCError(Exception):
    """One or several faults, with one line of text each; `code` is the exit status of the command."""

    code = 1

    def __init__(self, *lines: object):
        texts, half = map(str, lines), LONGEST // 2  # what a message quotes may be of any length
        texts = (text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}" for text in texts)
        super().__init__(*map(escaped, texts))

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


def escaped(text: object) -> str:
    """Replace unprintable characters, which could break a line or confuse a terminal, by backslash sequences."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))


def shorten(error: Exception) -> str:
    """The text of another library's error, or its type if it has none, on one line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory could not be allocated; torch has no type of its own for it on the CPU."""
    texts = ("out of memory", "can't allocate memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(t in str(error) for t in texts))


def naming(place: object, error: Exception) -> str:
    """An error's text with the name of a file or folder as prefix, unless it has that already."""
    text = str(error)
    return text if text.startswith(f"{place}: ") else f"{place}: {text.removeprefix(f'{place}/')}"


def suggestion(known: Iterable[str], *misspelt: object) -> str:
    """The end of a message that refuses names: the known names most like them, whatever their case; else nothing."""
    import difflib  # not light

    known = {name.casefold(): name for name in known}
    nearest = [difflib.get_close_matches(str(name).casefold(), known, n=1) for name in misspelt]
    meant = dict.fromkeys(known[name] for names in nearest for name in names)
    return f"; did you mean {', '.join(meant)}?" if meant else ""


class ConfigError(VCError):
    """Wrong usage, a bad configuration or a bad model file."""

    code = 2


class DataError(VCError):
    """Recordings, data directories or features that cannot be used."""


class TrainingError(VCError):
    """A training run that cannot continue."""
