"""A local web page to record, train, convert, compare and speak live, which runs the commands on plain folders."""
