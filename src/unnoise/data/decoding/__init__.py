"""Decoding: from the bytes of a picture file to one array of pixels."""
