"""What a run leaves on disk: a record and the predictions of every cell, and which tuned value won."""
