"""The signals that ask a process to stop, and their exit statuses."""

import signal

# Windows has the first two alone.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
CLOSED_TERMINAL = getattr(signal, "SIGHUP", None)


def stop_signals() -> list[signal.Signals]:
    """Those to act on: not that of a closed terminal, where `nohup` has it ignored."""
    ignored = CLOSED_TERMINAL is not None and signal.getsignal(CLOSED_TERMINAL) == signal.SIG_IGN
    return [number for number in STOPPING if number != CLOSED_TERMINAL or not ignored]


def exit_status(number: int) -> int:
    """128 and the signal's number; 143, as for SIGTERM, for all that a scheduler sends."""
    return 128 + number if number in (signal.SIGINT, CLOSED_TERMINAL) else 128 + signal.SIGTERM
