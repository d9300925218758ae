"""What a pretrained language model knows without any training: which of two texts is likelier, which word comes."""
