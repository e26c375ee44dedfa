"""Listening tests: folders of recordings -> test page and key -> answers of listeners -> scores."""
