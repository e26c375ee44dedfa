"""Listening tests: folders of recordings -> kit (a page and its key) -> answers of listeners -> scores."""
