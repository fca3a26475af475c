"""What a reader of the page does: sorts, filters, follows numbers to people, by mouse, keyboard and link."""

from __future__ import annotations

import pytest
from page_records import HOSTILE

MULTI = "?board=celebahq-multi"
METHODS = "#results tbody th > a > span:last-child"


def rows(page):
    return page.locator(METHODS).all_inner_texts()


def accessible(page):
    """What axe-core finds, rule by rule."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core; see the dev dependencies")
    found = axe.Axe().run(page).response["violations"]
    return [(rule["id"], rule["nodes"][0]["html"]) for rule in found]


def test_the_table_sorts_best_first_then_worst_then_as_it_was(show):
    page = show(f"#{MULTI}")
    as_it_was = rows(page)
    header = page.locator("[data-sort]", has_text="ID ↓").first
    header.click()
    assert (rows(page)[0], rows(page)[-1]) == ("mine", "scramble")  # which has no value
    cell = page.locator("#results th[aria-sort=ascending]")
    assert cell.inner_text().startswith("ID") and header.evaluate("node => node === document.activeElement")
    page.keyboard.press("Enter")
    assert (rows(page)[0], rows(page)[-1]) == ("mean-latent", "scramble")
    assert page.locator("#results th[aria-sort=descending]").count() == 1
    page.keyboard.press("Enter")
    assert rows(page) == as_it_was


def test_filters_choose_rows_and_columns(show):
    page = show()
    assert page.locator("h1").inner_text() == "FFHQ on mini"
    page.select_option("#choose-protocol", "celebahq-multi")
    assert page.locator("h1").inner_text() == "CelebAHQ (multi-image) on mini"
    page.select_option("#choose-training", "unseen")
    assert rows(page) == ["elsewhere"] and "training not seen" in page.locator("#results tbody th").inner_text()
    page.select_option("#choose-training", "any")
    page.fill("#search", "GUI")
    assert rows(page) == ["guide"]
    page.fill("#search", "")
    page.get_by_role("button", name="Attacks").click()
    assert "neighbourhood" in page.locator("#results thead").inner_text()
    alpha = page.locator("#results tbody").inner_text()
    page.select_option("#choose-judge", "beta")
    assert "judge=beta" in page.url and "columns=attacks" in page.url
    page.get_by_role("button", name="Identity").click()
    assert page.locator("#results tbody").inner_text() != alpha


def test_a_number_leads_to_people_their_pictures_and_their_record(show, index):
    page = show(f"#{MULTI}")
    page.locator("#results tr", has_text="guide").first.locator("td a").first.click()
    detail = page.locator("#detail")
    assert detail.locator("h2").inner_text() == "guide" and "over 3 people" in detail.inner_text()
    assert detail.locator("svg.points circle").count() >= 9
    detail.locator(".people a", has_text="b").first.click()
    assert page.url.endswith("#guide/b?board=celebahq-multi&metric=id") and detail.locator("h2").inner_text() == "b"
    images = detail.locator(".faces img")
    assert images.count() == 3
    page.wait_for_function("[...document.querySelectorAll('.faces img')].every((one) => one.naturalWidth === 32)")
    front = images.nth(2).get_attribute("src")
    slider = detail.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert images.nth(2).get_attribute("src") != front
    assert slider.get_attribute("aria-valuetext") == "from the right"
    assert "b after unlearning, from the right" == images.nth(2).get_attribute("alt")
    assert "guidebench run --protocol" in detail.locator(".command").inner_text()
    record = detail.get_by_role("link", name="record.json").evaluate("node => node.href")
    assert record.startswith(index.rsplit("/", 1)[0]) and page.goto(record).ok


def test_the_keyboard_opens_and_closes_the_panel_where_it_was(show):
    page = show(f"#{MULTI}")
    link = page.locator("#results tr", has_text="guide").first.locator("td a").nth(1)
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'detail-heading'")
    page.keyboard.press("Escape")
    page.locator("#detail").wait_for(state="hidden")  # it follows the address
    assert page.evaluate("document.activeElement.getAttribute('href')") == link.get_attribute("href")


def test_points_lead_to_people(show):
    page = show(f"#guide{MULTI}&metric=id")
    point = page.locator("svg.points circle").first.bounding_box()
    page.mouse.move(point["x"] + 3, point["y"] + 3)
    page.mouse.click(point["x"] + 3, point["y"] + 3)
    page.wait_for_selector(".neighbours")
    assert page.locator("#detail h2").inner_text() in "abc"


def test_deep_links_open_what_they_name_and_survive_what_is_not_there(show):
    page = show(f"#mine/c{MULTI}")
    assert page.locator("#detail h2").inner_text() == "c"
    page.goto(page.url.split("#")[0] + f"#nobody/x{MULTI}&judge=nobody&columns=none")
    assert not page.locator("#detail").is_visible() and len(rows(page)) == 6
    page.goto(page.url.split("#")[0] + "#%E0%A4%A/%")
    assert page.locator("h1").inner_text() == "FFHQ on mini"


def test_hostile_names_are_only_text(show):
    page = show(f"#{MULTI}")
    assert HOSTILE in rows(page)
    page.get_by_role("link", name=HOSTILE).click()
    assert page.locator("#detail h2").inner_text() == HOSTILE
    page.goto(page.url.split("#")[0] + f"#mine/d{MULTI}")
    assert f"it said {HOSTILE}" in page.locator("#detail").inner_text()
    assert page.locator("img[src=x]").count() == 0
    assert "Ann & <b>Co</b>" in page.locator("#facts").inner_text()


def test_reported_numbers_stand_apart_with_their_link(show):
    page = show(f"#{MULTI}")
    reported = page.locator("#reported")
    assert "not measured here" in reported.inner_text() and "CVPR 2024" in reported.inner_text()
    assert reported.locator("a").first.get_attribute("href") == "https://arxiv.org/abs/2405.09879"


@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_read_it(show, dark):
    """axe-core: the table, a method's panel, a person's panel, everything unfolded."""
    page = show(f"#{MULTI}", dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert accessible(page) == []
    for link in (f"#guide{MULTI}&metric=id", f"#mine/a{MULTI}&metric=id_others"):
        page.goto(page.url.split("#")[0] + link)
        page.evaluate("document.querySelectorAll('#detail details').forEach((one) => (one.open = true))")
        assert accessible(page) == []


def test_a_phone_shows_it_without_scrolling_sideways(show):
    page = show(f"#{MULTI}", width=390, height=844)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) == 0
    page.goto(page.url.split("#")[0] + f"#guide/a{MULTI}")
    box = page.locator("#detail").bounding_box()
    assert (box["x"], box["width"]) == (0, 390)
    assert page.evaluate("(node => node.scrollWidth - node.clientWidth)(document.querySelector('#detail'))") == 0
    assert page.locator("#page").evaluate("node => node.inert")
    assert accessible(page) == []
    page.get_by_role("link", name="Close").click()
    assert page.locator("#results").is_visible()


def test_the_reader_chooses_the_theme(show):
    page = show(dark=True)
    background = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Theme: auto").click()
    assert page.evaluate(background) == "rgb(255, 255, 255)" != dark
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(background) == dark
