"""Everything that a user can cause, with the exit status that a command gives it."""


class VCError(Exception):
    """A fault, or several, with one clear line each for the user; `code` is the exit status of the command."""

    code = 1

    def __init__(self, *lines: object):
        super().__init__(*map(escaped, lines))

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


def escaped(text: object) -> str:
    """Signs that could break a line or confuse a terminal, as backslash sequences."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))


def shortened(error: Exception) -> str:
    """A foreign error's text on one line, without its tail."""
    return " ".join(str(error).split())[:200]


class ConfigError(VCError):
    """Wrong usage, a bad configuration or a bad model file."""

    code = 2


class DataError(VCError):
    """Recordings, data directories or features that cannot be used."""


class TrainingError(VCError):
    """A training run that cannot go on."""
