"""`python -m guidebench`: the same as the `guidebench` command."""

from guidebench.commands.main import main

if __name__ == "__main__":
    main()
