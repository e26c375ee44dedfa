"""Laws of log messages."""

import logging

import pytest

from vc.messages import errors_only, warn_once


@pytest.mark.parametrize("level", [logging.NOTSET, logging.DEBUG])
def test_only_errors_are_logged_until_the_block_ends_even_by_an_exception(caplog, level):
    logger, child, other = (logging.getLogger(name) for name in ("vc.a", "vc.a.b", "vc.c"))
    logger.setLevel(level)
    caplog.set_level(logging.INFO, logger="vc")
    with pytest.raises(KeyError), errors_only("vc.a"):
        for log in (logger, child):
            log.warning("not this")
        child.error("one")
        other.warning("two")
        raise KeyError
    assert logger.level == level
    child.warning("three")
    assert caplog.messages == ["one", "two", "three"]


def test_a_warning_is_logged_once_and_one_that_was_not_logged_may_come_later(caplog):
    logger, other = logging.getLogger("vc.once"), logging.getLogger("vc.twice")
    with errors_only():
        warn_once(logger, "100 %")
    for _ in range(2):
        warn_once(logger, "100 %")
    warn_once(other, "100 %")
    assert [record.name for record in caplog.records] == ["vc.once", "vc.twice"]
