"""Use cases: the engine that runs operations, and the stories around it."""
