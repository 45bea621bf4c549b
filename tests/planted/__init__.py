"""Bugs planted into copies of the sources, and the gates that have to catch them.

``python -m tests.planted`` plants every bug in turn and writes docs/planted_bugs.md. Nothing here
touches the working tree: a copy is made below build/planted, the edit is made there, an extension
is built there if the edit is in one, and the gates run as processes of their own on that copy.
"""
