"use strict";
// One person under one method: pictures, all values, and where they come from.

const VIEWS = ["from the left", "from the front", "from the right"];
let view = 1; // which view is shown, from person to person

/** Photograph, before and after, with a slider over views. */
function picturesOf(board, row, person) {
  const at = board.people.indexOf(person);
  const trials = row.trials.filter((trial) => trial.group === at);
  const drawn = trials.filter((trial) => trial.pictures).sort((a, b) => a.seed - b.seed)[0];
  if (!drawn) return h("p", { class: "none" }, withoutPictures(trials));
  const several = trials.length > 1 ? `, seed ${drawn.seed}` : "";
  return Object.entries(drawn.pictures).map(([name, files]) => facesOf(name, files, several));
}

function withoutPictures(trials) {
  if (trials.length && trials.every((trial) => trial.failed)) return "The trial failed, so that there is nothing to see.";
  return DATA.pictures
    ? "The record of this person came without pictures."
    : "Pictures and records are in the folder that `guidebench page DIRECTORY --out FOLDER` writes.";
}

function facesOf(name, files, several) {
  const count = Math.min(files.before.length, files.after.length);
  const sides = { before: files.before, after: files.after };
  const images = Object.fromEntries(Object.keys(sides).map((side) => [side, h("img", { width: 192, height: 192, decoding: "async" })]));
  const figure = (image, caption) => h("figure", {}, image, h("figcaption", {}, caption));
  const show = () => {
    const place = count === 1 ? 0 : Math.min(view, count - 1);
    for (const [side, names] of Object.entries(sides)) {
      images[side].src = `pictures/${names[place]}`;
      images[side].alt = `${name} ${side} unlearning, ${count === 1 ? VIEWS[1] : VIEWS[place]}`;
    }
  };
  show();
  const photo = files.photo ? figure(h("img", { src: `pictures/${files.photo}`, alt: `Photograph of ${name}`, width: 192, height: 192 }), "photograph") : null;
  return h(
    "div",
    { class: "faces" },
    h("div", { class: "row" }, photo, figure(images.before, "before"), figure(images.after, `after${several}`)),
    count === 1 ? null : sliderOf(name, count, show),
  );
}

function sliderOf(name, count, show) {
  const slider = h("input", { type: "range", min: 0, max: count - 1, step: 1, value: view, "aria-label": `View of ${name}`, "aria-valuetext": VIEWS[view] });
  const said = h("output", {}, VIEWS[view]);
  slider.addEventListener("input", () => {
    view = Number(slider.value);
    slider.setAttribute("aria-valuetext", VIEWS[view]);
    said.textContent = VIEWS[view];
    show();
  });
  return h("label", { class: "views" }, "view", slider, said);
}

/** The person before and the one after in the list. */
function neighboursOf(board, row, person) {
  const there = board.people.filter((_, at) => row.trials.some((trial) => trial.group === at));
  const at = there.indexOf(person);
  const step = (by, text) => {
    const other = there[at + by];
    return other ? h("a", { class: "step", href: linkTo({ person: other }), title: other }, text) : h("span", { class: "step off" }, text);
  };
  return h("nav", { class: "neighbours", "aria-label": `Other ${board.unit === "person" ? "people" : "groups"}` }, step(-1, "← previous"), h("span", {}, `${at + 1} of ${there.length}`), step(1, "next →"));
}

/** All values of a person under a method; attacks and costs folded away. */
function valuesOf(board, row, person) {
  const folded = ["attacks", "cost"];
  const parts = [valueTable(board, row, person, "Values", (column) => !folded.includes(column.kind))];
  for (const kind of folded) {
    const table = valueTable(board, row, person, COLUMNS[kind], (column) => column.kind === kind);
    if (table) parts.push(h("details", {}, h("summary", {}, COLUMNS[kind]), table));
  }
  return parts.some(Boolean) ? [h("h3", {}, "All values"), ...parts] : [];
}

/** Values of a person, metrics by judges; null without any. name: of the table. */
function valueTable(board, row, person, name, wanted) {
  const at = board.people.indexOf(person);
  const known = [...board.columns.keys()].filter((place) => wanted(board.columns[place]) && typeof row.cells[place]?.values?.[at] === "number");
  if (!known.length) return null;
  const metrics = unique(known.map((place) => board.columns[place].metric));
  const judges = board.judges;
  const value = (metric, judge) => {
    const place = known.find((one) => board.columns[one].metric === metric && (board.columns[one].judge ?? judges[0] ?? null) === judge);
    return place === undefined ? "" : row.cells[place].values[at].toFixed(board.columns[place].digits);
  };
  const first = (metric) => board.columns.find((column) => column.metric === metric);
  const several = judges.length > 1;
  const columns = several ? judges : [judges[0] ?? null];
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": `${name} of ${person}` },
    h(
      "table",
      { class: "values" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "metric"), columns.map((judge) => h("th", { scope: "col" }, several ? judge : "value")))),
      h(
        "tbody",
        {},
        metrics.map((metric) =>
          h("tr", {}, h("th", { scope: "row", title: first(metric).summary }, ...titled(first(metric).title), ` ${first(metric).arrow}`), columns.map((judge) => h("td", {}, value(metric, judge)))),
        ),
      ),
    ),
  );
}

/** What a person's trials lack: faces that were lost, values that there are not. */
function lacksOf(board, row, person) {
  const at = board.people.indexOf(person);
  const lines = row.trials
    .filter((trial) => trial.group === at)
    .flatMap((trial) =>
      (trial.lacks ?? []).map(([place, why, lost, pairs, whom]) => {
        const what = why === null ? `no face afterwards in ${lost} of ${plural(pairs, "pair")}` : `no value: ${board.texts[why]}`;
        const seed = row.trials.filter((one) => one.group === at).length > 1 ? `, seed ${trial.seed}` : "";
        return `${titleOf(board.columns[place], board)}${whom ? `, ${whom}` : ""}${seed}: ${what}.`;
      }),
    );
  if (!lines.length) return null;
  return h("details", {}, h("summary", {}, `Faces lost, values missing (${lines.length})`), h("ul", {}, lines.map((line) => h("li", {}, line))));
}

// Where it comes from

const term = (name, ...value) => [h("dt", {}, name), h("dd", {}, value)];
const code = (text) => h("code", { class: "digest" }, text);

function commandBox(text) {
  return h("div", { class: "command" }, h("pre", { tabindex: 0, "aria-label": "Command" }, text), copyButton(text));
}

/** The command that measures a person again, and what was used; a block per seed. */
function provenanceOf(board, row, person) {
  const at = board.people.indexOf(person);
  return row.trials.filter((trial) => trial.group === at).map((trial) => trialOf(board, row, trial));
}

function trialOf(board, row, trial) {
  const made = board.texts[trial.made];
  const path = trial.path.split("/").map(encodeURIComponent).join("/");
  const versions = Object.entries(made.versions).map(([name, version]) => `${name} ${version}`).join(", ");
  return h(
    "section",
    { class: "trial" },
    h("h4", {}, `Trial, seed ${trial.seed}`),
    trial.failed ? h("p", { class: "failed" }, `Failed: ${trial.failed}`) : null,
    commandBox(board.texts[trial.command]),
    h(
      "dl",
      {},
      term("record", DATA.records ? h("a", { href: path }, "record.json") : trial.path),
      term("made", `${trial.created}, on ${made.device}`),
      term("commit", made.commit ? code(made.commit) : "outside a checkout"),
      term("versions", versions),
      term("key", code(trial.key)),
      term("digest of the record", code(trial.digest)),
      term("digest of the code", code(row.code.digest)),
    ),
  );
}

/** What a method is: where its code is from, its settings. */
function methodOf(board, row) {
  return [
    commandBox(board.texts[row.trials[0].command]),
    h(
      "dl",
      {},
      term("code", row.code.spec === row.method ? row.method : row.code.spec),
      term("class", row.code.class),
      term("digest of the code", code(row.code.digest)),
      row.code.preset ? term("preset", `for ${board.testbed}`) : null,
      Object.entries(row.code.fields).flatMap(([name, value]) => term(name, value)),
    ),
  ];
}
