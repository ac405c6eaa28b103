"""A copy in capitals of every text file that reaches the archive."""
