"""Recognises and measures files by their bytes, one module for each family of formats. Called by `files.inspection`."""
