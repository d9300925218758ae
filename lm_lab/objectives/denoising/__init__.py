"""A corrupted text in, what is missing or the whole text out, with an encoder-decoder."""
