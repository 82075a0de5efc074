"""`python -m settlement`: the same as the command `settlement`.

For: starting a server from a program that knows only its interpreter.
Does not: add anything.
Change colour: green.
"""

from settlement.cli import main

main()
