"""Decoding: picture files and array files (.npy, .npz, IDX) to uint8 arrays."""
