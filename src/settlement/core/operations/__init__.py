"""The operations, one verb a module: each decides purely on the state the engine loaded."""
