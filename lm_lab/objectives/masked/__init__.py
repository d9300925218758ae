"""Hidden tokens, predicted from both sides: what is hidden together, and what else is predicted with it."""
