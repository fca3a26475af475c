"""`python -m guidebench.testbeds.mini_2d.training --out DIR`: train mini-2d's two networks again."""

from guidebench.testbeds.mini.training.command import main
from guidebench.testbeds.mini_2d.training.plan import PLAN

if __name__ == "__main__":
    main(PLAN)
