"""Each token from those before it, in the text's order or in any."""
