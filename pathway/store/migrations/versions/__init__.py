"""The steps; a file's number is its revision."""
