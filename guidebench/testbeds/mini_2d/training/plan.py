"""The stages of mini-2d's training and what each needs."""

from guidebench.testbeds.mini.training.plan import Plan, PlannedStage

PLAN = Plan(
    "guidebench.testbeds.mini_2d.training",
    (
        PlannedStage("photographs", "data:render_photographs"),
        PlannedStage("pictures", "data:render_pictures"),
        PlannedStage("generator", "generator:DistilledGenerator", ("photographs", "pictures")),
        PlannedStage("encoder", "inversion:EncoderStage", ("generator",)),
        PlannedStage("export", "export:export_weights", ("encoder",)),
        PlannedStage("measure", "measure:measure_weights", ("export",)),
        PlannedStage("card", "card:write_card", ("measure",)),
    ),
)
