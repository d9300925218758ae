"""Does a strategy do on a backbone what it promises? The checks that the tests run are those a user can run."""
