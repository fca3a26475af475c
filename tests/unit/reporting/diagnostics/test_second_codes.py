"""What a second set of codes says of FID_pre: levels, changes and differences by hand."""

from __future__ import annotations

from guidebench.reporting.diagnostics.second_codes import Reading, second_codes_section


def readings(label, pairs):
    return [Reading(label, f"p{place}", 0, first, second) for place, (first, second) in enumerate(pairs)]


def test_level_change_and_spread_are_of_the_same_trials():
    """10 -> 11 and 20 -> 23: changes 1 and 3, mean 2 of 15, std √2."""
    section = second_codes_section(readings("guide", [(10.0, 11.0), (20.0, 23.0)]), ["guide"])
    (table,) = section.tables
    assert table.rows == (("guide", "2", "15.00", "17.00", "2.00 (+13 %)", "1.41", "3.00"),)


def test_differences_to_the_baseline_stand_on_both_sets_and_a_reversed_order_is_named():
    both = readings("mean-latent", [(12.0, 12.0), (14.0, 13.0)]) + readings("guide", [(11.0, 13.0)])
    section = second_codes_section(both, ["mean-latent", "guide"])
    levels, against = section.tables
    assert [row[:2] for row in levels.rows] == [("mean-latent", "2"), ("guide", "1")]
    assert levels.rows[1][-2] == "–"  # one trial has no spread
    assert against.rows == (("guide", "1", "-1.00", "1.00"),)
    assert any("mean-latent and guide is reversed" in line for line in section.findings)


def test_the_same_order_is_said_and_what_has_no_value_is_left_out_with_the_reason():
    both = readings("mean-latent", [(12.0, 13.0)]) + readings("guide", [(8.0, 9.0)])
    both.append(Reading("guide", "p1", 0, 9.0, None, "12 samples are too few"))
    section = second_codes_section(both, ["mean-latent", "guide"])
    assert any("same order" in line for line in section.findings)
    assert "Left out: 12 samples are too few." in section.findings
    assert "12 samples" in section.markdown()
