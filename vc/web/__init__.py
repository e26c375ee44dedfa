"""A page on one's own machine: record, train, convert, compare, speak live; it runs the commands on plain folders."""
