"""Faces: the `striate` command and the web page. No mathematics lives here."""
