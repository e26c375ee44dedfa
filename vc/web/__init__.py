"""A page on one's own machine: record, train, convert, compare. It runs the commands and keeps plain folders."""
