"""The signals that ask a process to stop, and the exit status that says which it was."""

import signal

# Windows has the first two alone.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
CLOSED_TERMINAL = getattr(signal, "SIGHUP", None)


def heard() -> list[signal.Signals]:
    """Those to act on: not that of a closed terminal, where `nohup` has it ignored."""
    return [one for one in STOPPING if one != CLOSED_TERMINAL or signal.getsignal(one) != signal.SIG_IGN]


def exit_status(number: int) -> int:
    """128 and the signal's number; all that a scheduler sends is 143, as SIGTERM."""
    return 128 + number if number in (signal.SIGINT, CLOSED_TERMINAL) else 128 + signal.SIGTERM
