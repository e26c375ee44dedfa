"""Signals that ask a process to stop, and the corresponding exit statuses."""

import signal

# Windows only has the first two.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
CLOSED_TERMINAL = getattr(signal, "SIGHUP", None)


def stop_signals() -> list[signal.Signals]:
    """The signals to handle, without SIGHUP if it is ignored (`nohup`)."""
    ignored = CLOSED_TERMINAL is not None and signal.getsignal(CLOSED_TERMINAL) == signal.SIG_IGN
    return [number for number in STOPPING if number != CLOSED_TERMINAL or not ignored]


def exit_status(number: int) -> int:
    """128 plus the signal's number, but 143 (SIGTERM) for all signals that a job scheduler sends."""
    return 128 + number if number in (signal.SIGINT, CLOSED_TERMINAL) else 128 + signal.SIGTERM
