"""The HTTP edge: one Litestar app, one table of problems, one reader of bodies."""
