"""Cache of decoded pictures: one array on disk, mapped into memory."""
