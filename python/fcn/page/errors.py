"""What hinders a page."""

from segdata.errors import UserError


class PageError(UserError):
    """A net of which there can be no page, or a page that cannot be written or shown."""
