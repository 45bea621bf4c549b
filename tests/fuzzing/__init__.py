"""Inputs made to break the readers, and what may become of them.

A case is a few files in memory. `seeds` holds sound ones, `mutation` damages them, `invention`
writes almost sound ones from nothing; `trial` gives a case to the reader that it is for and says
what came of it, `shrinking` cuts a case that failed, `campaign` runs very many. Every case follows
from a seed, a target and a number, so that ``python -m fuzzing`` (in the folder ``tests``) can
repeat any of them:

    python -m fuzzing model --seed 42 --first 1234 --count 1 --out FOLDER
"""
