"""Whom a face becomes: the gallery of delegates and how one of them is chosen."""

from streamanon.identity.delegates import DelegateGallery, load_delegates

__all__ = ["DelegateGallery", "load_delegates"]
