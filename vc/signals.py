"""The signals that ask a process to stop, and their exit statuses."""

import signal

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


def stop_signals() -> list[signal.Signals]:
    """Those to act on: not that of a closed terminal, where `nohup` has it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOPPING if number != signal.SIGHUP or not ignored]


def exit_status(number: int) -> int:
    """128 and the signal's number; 143, as for SIGTERM, for all that a scheduler sends."""
    return 128 + number if number in (signal.SIGINT, signal.SIGHUP) else 128 + signal.SIGTERM
