"""Recordings to converted recordings, by a model file; what the work around that shares."""
