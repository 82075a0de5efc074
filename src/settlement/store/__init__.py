"""The only floor that knows SQL or a database driver."""
