"""The steps of ./deploy.sh, one module each."""


class Failure(Exception):
    """Ends a deployment; the text is one sentence for the user: what is wrong, what was found, what fixes it."""
