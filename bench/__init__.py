"""Every performance figure the README quotes, as a command: `python -m bench`.

Guarantees: what is compared is measured in one run, in turns, on the same machine, with every
acknowledged settle on disk; ratios are the result, absolute figures only their ingredients.
Does not: assert anything about time. A machine shared with others gives other figures every day.
"""
