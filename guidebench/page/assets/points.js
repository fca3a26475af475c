"use strict";
// Everyone's value in one column, method by method, drawn by Observable Plot.

const ROW_HEIGHT = 30;
const SCATTER = 0.618; // golden ratio: neighbours in the list lie apart, and each person at one height in every row

/** The drawing of a column. Its points lead to people; readers who do not see it have the list below it. */
function pointsOf(board, place, state, width) {
  const column = board.columns[place];
  const rows = board.rows.filter((row) => row.cells[place]?.values?.some((value) => value !== null));
  const points = rows.flatMap((row) =>
    board.people.flatMap((person, at) => {
      const value = row.cells[place].values[at] ?? null;
      const height = ((at * SCATTER) % 1) * 1.3 - 0.65;
      return value === null ? [] : [{ row: row.label, person, value, height, colour: row.colour }];
    }),
  );
  const means = rows.map((row) => ({ row: row.label, mean: row.cells[place].mean, ends: endsOf(row.cells[place]) }));
  const chosen = (point) => point.person === state.person;
  const names = new Map(rows.map((row) => [row.label, row.title]));
  const figure = Plot.plot({
    width,
    height: rows.length * ROW_HEIGHT + 62,
    marginLeft: Math.min(150, Math.max(60, ...[...names.values()].map((name) => name.length * 6.6 + 16))),
    marginRight: 12,
    marginTop: 8,
    marginBottom: 38,
    x: { label: `${titleOf(column, board)} ${column.arrow}`.trim(), labelAnchor: "center", labelArrow: "none", nice: true, ticks: width < 420 ? 4 : 7, ...scaleOf(points) },
    y: { axis: null, domain: [-1, 1] },
    fy: { axis: null, domain: rows.map((row) => row.label), padding: 0.05 },
    marks: [
      Plot.frame({ anchor: "bottom", stroke: "var(--rule)" }),
      column.people ? Plot.ruleX([column.people.mean], { stroke: "var(--grey)", strokeDasharray: "2 3" }) : null,
      Plot.text(rows, { fy: "label", text: (row) => shortened(row.title, 20), frameAnchor: "left", textAnchor: "end", dx: -8, fill: "var(--ink)", fontWeight: (row) => (row.label === state.method ? 650 : 400) }),
      Plot.ruleY(means.filter((row) => row.ends.length), { fy: "row", x1: (row) => row.ends[0], x2: (row) => row.ends[1], y: () => 0, stroke: "var(--ink)", strokeWidth: 1.2 }),
      Plot.dot(points.filter((point) => !chosen(point)), { fy: "row", x: "value", y: "height", r: 3, fill: "colour", fillOpacity: state.person ? 0.28 : (point) => (!state.method || point.row === state.method ? 0.95 : 0.5), stroke: "var(--ring)", strokeWidth: 0.6 }),
      Plot.tickX(means, { fy: "row", x: "mean", stroke: "var(--ink)", strokeWidth: 2, insetTop: 5, insetBottom: 5 }),
      Plot.dot(points.filter(chosen), { fy: "row", x: "value", y: "height", r: 5, fill: "colour", stroke: "var(--ink)", strokeWidth: 1.6 }),
      Plot.tip(points, Plot.pointer({ fy: "row", x: "value", y: "height", maxRadius: 24, title: (point) => `${point.person}\n${names.get(point.row)}: ${point.value.toFixed(column.digits)}`, fill: "var(--paper)", stroke: "var(--pale)" })),
    ],
  });
  for (const part of figure.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label"); // it is one image
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", `${titleOf(column, board)}: a point for every ${board.unit}, a tick for every mean, by method. The same values follow as a list.`);
  figure.classList.add("points");
  figure.addEventListener("click", () => {
    if (figure.value) go({ method: figure.value.row, person: figure.value.person, metric: column.metric });
  });
  return figure;
}

/** The ends of a cell's interval, which is text such as [-0.088, 0.028]; none where it has none. */
const endsOf = (cell) => (cell.interval ?? "").match(/-?[\d.]+/g)?.map(Number) ?? [];

const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Logarithmic beyond 10 where a floor would press everything else together, as in our other figures. */
function scaleOf(points) {
  const values = points.map((point) => point.value).sort((a, b) => a - b);
  const middle = values[Math.floor(values.length / 2)] ?? 0;
  return values.at(-1) > 20 * Math.max(1, middle) ? { type: "symlog", constant: 10 } : {};
}

/** The values of one row as links, the worst first. */
function peopleList(board, place, row, state) {
  const column = board.columns[place];
  const cell = row.cells[place];
  const sign = column.direction === "higher" ? 1 : -1;
  const values = cell?.values ?? [];
  const people = board.people
    .map((person, at) => ({ person, value: values[at] ?? null, measured: row.trials.some((trial) => trial.group === at) }))
    .filter(({ measured }) => measured)
    .sort((a, b) => (a.value === null) - (b.value === null) || sign * (a.value - b.value));
  return h(
    "ol",
    { class: "people", "aria-label": `${titleOf(column, board)} of ${row.title} by ${board.unit}` },
    people.map(({ person, value }) =>
      h(
        "li",
        {},
        h("a", { href: linkTo({ method: row.label, person }), "aria-current": person === state.person ? "true" : null }, h("span", {}, person), h("b", {}, value === null ? "–" : value.toFixed(column.digits))),
      ),
    ),
  );
}
