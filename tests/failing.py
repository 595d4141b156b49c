"""A function that a user may have written."""


def fail(*_):
    return {}["nothing"]
