"""Recordings -> converted recordings, by a model file."""
