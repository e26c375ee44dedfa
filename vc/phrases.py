"""Numbers in words, as commands say them."""


def count(number: int, what: str, plural: str = "") -> str:
    """A number of things: `1 fault`, `2 faults`."""
    return f"{number} {what}" if number == 1 else f"{number} {plural or what + 's'}"


def duration(seconds: float) -> str:
    """Seconds, minutes, or hours and minutes."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def size(number: float) -> str:
    """Bytes as MB or GB."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{max(1, round(number / 1e6))} MB"
