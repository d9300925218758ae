"""Text to pretrain on, from documents to rows of tokens."""
