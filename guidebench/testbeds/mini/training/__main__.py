"""`python -m guidebench.testbeds.mini.training --out DIR`: train mini's networks again, from nothing to model card."""

from guidebench.testbeds.mini.training.command import main
from guidebench.testbeds.mini.training.plan import PLAN

if __name__ == "__main__":
    main(PLAN)
