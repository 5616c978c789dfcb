"""`euca images`, `add_image`, `remove_image`, `build_test_image`.

A file is copied: the source may be deleted. It goes to the image server, which looks at it and gives a
receipt; the cloud controller registers what the receipt says.
"""
