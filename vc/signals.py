"""The signals that ask a process to stop, and the exit status that says which it was."""

import signal

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


def heard() -> list[signal.Signals]:
    """Those to act on: not that of a closed terminal, where `nohup` has it ignored."""
    return [one for one in STOPPING if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN]


def exit_status(number: int) -> int:
    """128 and the signal's number; all that a scheduler sends is 143, as SIGTERM."""
    return 128 + number if number in (signal.SIGINT, signal.SIGHUP) else 128 + signal.SIGTERM
