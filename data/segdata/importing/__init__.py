"""Importing people's labels: every form in which they have them, into a folder in VOC layout.

`recognise` finds the form of a folder; each form is a module with

    NAME                        for --format
    TITLE                       for people
    recognises(tree) -> str     the file or folder that shows the form, "" where none does
    read(tree, options)         -> labelled.Labelled: samples, the names of values, splits

`write` makes the folder of it, `report` says what is in there.
"""
