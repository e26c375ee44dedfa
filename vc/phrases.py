"""Format counts, durations and sizes for messages."""


def count(number: int, what: str, plural: str = "") -> str:
    """A count with its noun: `1 fault`, `2 faults`."""
    return f"{number} {what}" if number == 1 else f"{number} {plural or what + 's'}"


def duration(seconds: float) -> str:
    """A duration in seconds, minutes, or hours and minutes."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def size(number: float) -> str:
    """A number of bytes in MB or GB."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{max(1, round(number / 1e6))} MB"
