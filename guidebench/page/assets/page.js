"use strict";
// The page: what stands around the table, the panel of details, and what happens when the link changes.

const panel = byId("detail");
let shown = null; // the state that is drawn
let opener = null; // the link that opened the panel

function draw() {
  const before = shown;
  const state = parse(location.hash);
  shown = state;
  const board = boardOf(state);
  byId("heading").replaceChildren(board.protocol.title, h("span", {}, ` on ${board.testbed}`));
  byId("caption").textContent = board.caption;
  const by = onlySubmitter(board);
  byId("facts").replaceChildren(factsOf(board), ...(by ? [h("br"), submitted(by, "span")] : []));
  drawControls(state);
  drawTable(state);
  drawLegend(board);
  drawReported(board);
  drawNotes(board);
  drawPanel(state);
  if (before) moveFocus(before, state);
}

/** To the panel when it opens or shows something else, back to where it was opened from when it closes. */
function moveFocus(before, state) {
  if (before.method && !state.method) {
    const link = opener === null ? null : document.querySelector(`#results a[href="${CSS.escape(opener)}"]`);
    (link ?? byId("results")).focus();
  } else if (state.method && ["method", "person", "metric", "by"].some((name) => before[name] !== state[name])) {
    byId("detail-heading").focus({ preventScroll: true });
    panel.scrollTop = 0;
  }
}

function factsOf(board) {
  const methods = board.rows.filter((row) => !row.floor).length;
  const trials = board.rows.reduce((sum, row) => sum + row.trials.length, 0);
  const people = board.unit === "person" ? plural(board.people.length, "person", "people") : plural(board.people.length, "group");
  const judged = board.judges.length ? `, judged by ${board.judges.join(" and ")}` : "";
  return `${plural(methods, "method")}, ${people}, ${plural(trials, "trial")}${judged}. Every number leads to the ${board.unit === "person" ? "people" : "groups"} behind it.`;
}

// Controls --------------------------------------------------------------------------------------------------------

function drawControls(state) {
  const board = boardOf(state);
  const focused = document.activeElement?.id;
  const testbeds = unique(DATA.boards.map((one) => one.testbed));
  const here = DATA.boards.filter((one) => one.testbed === board.testbed);
  const protocols = unique(here.map((one) => one.protocol.name));
  const alike = here.filter((one) => one.protocol.name === board.protocol.name);
  const first = (matching) => DATA.boards.find(matching).name;
  const toBoard = (name) => go({ board: name, method: "", person: "", metric: "", by: "", judge: "first" });
  const seen = unique(board.rows.map((row) => row.seen));
  byId("controls").replaceChildren(
    ...[
      chooser("testbed", "Testbed", testbeds.map((name) => [name, name]), board.testbed, (name) => toBoard(first((one) => one.testbed === name)), testbeds.length > 1),
      chooser(
        "protocol",
        "Protocol",
        protocols.map((name) => [name, here.find((one) => one.protocol.name === name).protocol.title]),
        board.protocol.name,
        (name) => toBoard(first((one) => one.testbed === board.testbed && one.protocol.name === name)),
        protocols.length > 1,
      ),
      chooser("conditions", "Conditions", alike.map((one) => [one.name, differing(one, alike)]), board.name, toBoard, alike.length > 1),
      chooser(
        "judge",
        "Judge",
        [...board.judges.map((name, place) => [place ? name : "first", name]), ["all", "all judges"]],
        state.judge === board.judges[0] ? "first" : state.judge,
        (judge) => go({ judge, by: "" }),
        board.judges.length > 1,
      ),
      chooser("training", "Training", [["any", "seen or not"], ["seen", "seen"], ["unseen", "not seen"]], state.training, (training) => go({ training }), seen.length > 1),
      searchBox(board),
      columnSets(state),
    ].filter(Boolean),
  );
  if (focused) byId(focused)?.focus();
}

/** A choice of one; hidden where there is nothing to choose. */
function chooser(id, label, options, value, choose, shown) {
  if (!shown) return null;
  const select = h("select", { id: `choose-${id}`, onchange: () => choose(select.value) }, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return h("label", {}, h("span", {}, label), select);
}

/** In what a table differs from others of its protocol and testbed. */
function differing(board, others) {
  const names = Object.keys(board.conditions).filter((name) => unique(others.map((one) => one.conditions[name])).length > 1);
  return names.map((name) => `${name} ${board.conditions[name]}`).join(", ") || board.name;
}

function searchBox(board) {
  if (board.rows.length < 5) return null;
  const field = h("input", { id: "search", type: "search", value: results.query, autocomplete: "off" });
  field.addEventListener("input", () => {
    results.query = field.value;
    drawTable(parse(location.hash));
  });
  return h("label", {}, h("span", {}, "Method"), field);
}

function columnSets(state) {
  const board = boardOf(state);
  const there = (name) => board.columns.some((column) => isShown(column, { ...state, columns: name }));
  return h(
    "div",
    { class: "sets", role: "group", "aria-label": "Columns" },
    Object.entries(COLUMNS)
      .filter(([name]) => there(name))
      .map(([name, title]) => h("button", { type: "button", id: `columns-${name}`, "aria-pressed": String(state.columns === name), onclick: () => go({ columns: name }) }, title)),
  );
}

// Below the table -------------------------------------------------------------------------------------------------

function drawLegend(board) {
  const cells = board.rows.flatMap((row) => row.cells.filter(Boolean));
  const parts = ["Bold: best mean among rows measured on the same trials, not a test."];
  if (cells.some((cell) => cell.dagger)) parts.push(`† differs significantly from ${board.against} (Holm-adjusted p < 0.05).`);
  if (board.columns.some((column) => column.people)) parts.push("Different people: what a judge gives pairs of them; where lower is better, the person is forgotten there.");
  if (board.rows.some((row) => row.flags.length)) parts.push("Amber or dotted: unreliable; open the row to see why.");
  byId("legend").replaceChildren(h("p", {}, parts.join(" ")));
}

function drawReported(board) {
  const section = byId("reported");
  section.hidden = !board.reported.length;
  section.replaceChildren(h("h2", { id: "reported-heading" }, "Reported in papers, not measured here"), ...board.reported.map((table) => reportedTable(table, board)));
}

function reportedTable(table, board) {
  const elsewhere = table.testbed === board.testbed ? "" : ` Another testbed than the table above (${table.testbed}, not ${board.testbed}): orders can be compared, numbers cannot.`;
  return h(
    "div",
    { class: "reported" },
    h("h3", {}, h("a", { href: table.link, rel: "noreferrer" }, table.title), h("span", { class: "badge" }, table.venue)),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": table.title },
      h(
        "table",
        { class: "values" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "row"), h("th", { scope: "col", class: "text" }, "method here"), table.columns.map((name) => h("th", { scope: "col" }, ...titled(name))))),
        h("tbody", {}, table.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.title), h("td", { class: "text" }, row.method), row.cells.map((cell) => h("td", {}, cell))))),
      ),
    ),
    h("p", { class: "small" }, `${table.citation}. Judge ${table.judge}. Different: ${table.different}.${elsewhere}`),
  );
}

function drawNotes(board) {
  const [box] = byId("notes").getElementsByTagName("div");
  const weights = Object.entries(board.weights).flatMap(([name, digest]) => term(name, code(digest)));
  box.replaceChildren(h("ul", {}, board.notes.map((note) => h("li", {}, note))), h("h3", {}, "Networks, SHA-256"), h("dl", {}, weights));
}

// The panel -------------------------------------------------------------------------------------------------------

function drawPanel(state) {
  panel.hidden = !state.method;
  document.body.classList.toggle("open", !panel.hidden);
  byId("page").inert = !panel.hidden && media("(max-width: 1099px)");
  if (panel.hidden) {
    panel.replaceChildren();
    return;
  }
  const board = boardOf(state);
  const row = board.rows.find((one) => one.label === state.method);
  const place = columnOf(state);
  panel.replaceChildren(...[panelHead(board, row, place, state), ...(state.person ? personParts(board, row, place, state) : rowParts(board, row, place, state))].flat().filter(Boolean));
}

function panelHead(board, row, place, state) {
  const title = state.person || row.title;
  return h(
    "header",
    {},
    h(
      "div",
      {},
      h("p", { class: "crumbs" }, state.person ? h("a", { href: linkTo({ person: "" }) }, swatch(row), row.title) : [swatch(row), ...headOf(board.columns[place], board)]),
      h("h2", { id: "detail-heading", tabindex: "-1" }, title),
      state.person ? null : badges(row),
    ),
    h("a", { class: "close", href: linkTo({ method: "", person: "" }), "aria-label": "Close" }, "✕"),
  );
}

function rowParts(board, row, place, state) {
  return [
    valueParts(board, row, place, state),
    row.cells[place] ? [h("h3", {}, board.unit === "person" ? "Person by person" : "Group by group"), peopleList(board, place, row, state)] : null,
    row.flags.length ? [h("h3", {}, "Unreliable"), h("ul", { class: "flags" }, row.flags.map((flag) => h("li", {}, h("b", {}, flag.kind), ` ${flag.text}`)))] : null,
    row.notes.length ? h("ul", { class: "flags" }, row.notes.map((note) => h("li", {}, note))) : null,
    h("h3", {}, "Where it comes from"),
    methodOf(board, row),
  ].flat(2);
}

function personParts(board, row, place, state) {
  return [
    neighboursOf(board, row, state.person),
    picturesOf(board, row, state.person),
    h("h3", {}, ...headOf(board.columns[place], board), " of everybody"),
    drawingOf(board, place, state),
    ...valuesOf(board, row, state.person),
    lacksOf(board, row, state.person),
    h("h3", {}, "Where it comes from"),
    provenanceOf(board, row, state.person),
  ].flat();
}

/** The number that was clicked, what it is made of, and everyone's points. */
function valueParts(board, row, place, state) {
  const column = board.columns[place];
  const cell = row.cells[place];
  if (!cell) return [h("p", { class: "none" }, `${titleOf(column, board)} was not measured.`), drawingOf(board, place, state)];
  const over = `over ${cell.of ? `${cell.n} of ${cell.of}` : cell.n} ${board.unit === "person" ? "people" : "groups"}`;
  const facts = [
    cell.interval ? `95 % interval ${cell.interval}` : "",
    cell.counts ?? "",
    cell.lost ? `faces lost ${cell.lost[0]} before, ${cell.lost[1]} after` : "",
  ].filter(Boolean);
  return [
    h("p", { class: "number" }, cell.text, h("span", {}, ` ${over}`)),
    facts.length ? h("p", {}, `${facts.join("; ")}.`) : null,
    cell.difference === undefined ? null : h("p", {}, comparison(cell, board)),
    column.summary ? h("p", { class: "small" }, `${column.title.replace("_", " ")}: ${column.summary}${column.arrow ? `; ${column.direction} is better` : ""}.`) : null,
    drawingOf(board, place, state),
  ];
}

function comparison(cell, board) {
  const between = cell.between ? ` ${cell.between}` : "";
  const p = cell.p ? `, adjusted p ${cell.p}` : ", not tested";
  return `Against ${board.against}: ${cell.finding}. Difference ${cell.difference}${between}, better for ${cell.better}${p}.`;
}

function drawingOf(board, place, state) {
  if (!board.rows.some((row) => row.cells[place]?.values?.some((value) => value !== null))) return null;
  return h("figure", { class: "drawing" }, pointsOf(board, place, state, Math.min(640, (panel.clientWidth || 600) - 40)));
}

// What the reader does --------------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];

function showTheme(theme) {
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
  byId("theme").textContent = `Theme: ${theme}`;
}

let theme = THEMES.includes(remembered("theme")) ? remembered("theme") : "auto";
byId("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  remembered("theme", theme);
  showTheme(theme);
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("results").focus();
});
document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("#results a");
  if (anchor) opener = anchor.getAttribute("href");
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !panel.hidden) go({ method: "", person: "" });
});
window.addEventListener("hashchange", draw);
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return; // a phone's bar of addresses comes and goes
  width = window.innerWidth;
  const top = panel.scrollTop;
  drawPanel(shown);
  panel.scrollTop = top;
});

showTheme(theme);
draw();
