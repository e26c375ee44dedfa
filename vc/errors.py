"""Errors that a user can cause, each with the exit status of a command."""

LONGEST = 5000  # characters of an error's line: a path of any length, and what is wrong with it


class VCError(Exception):
    """A fault, or several, with one clear line each for the user; `code` is the exit status of the command."""

    code = 1

    def __init__(self, *lines: object):
        texts, half = map(str, lines), LONGEST // 2  # what a message quotes may be of any length
        texts = (text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}" for text in texts)
        super().__init__(*map(escaped, texts))

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


def escaped(text: object) -> str:
    """A text with characters that could break a line or confuse a terminal as backslash sequences."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))


def shorten(error: Exception) -> str:
    """A foreign error's text on one line, without its tail."""
    return " ".join(str(error).split())[:200]


def naming(place: object, error: Exception) -> str:
    """An error's text with a file's or folder's name before it, once."""
    text = str(error)
    return text if text.startswith(f"{place}: ") else f"{place}: {text.removeprefix(f'{place}/')}"


class ConfigError(VCError):
    """Wrong usage, a bad configuration or a bad model file."""

    code = 2


class DataError(VCError):
    """Recordings, data directories or features that cannot be used."""


class TrainingError(VCError):
    """A training run that cannot go on."""
