"use strict";
// What is shown, and its link: #METHOD/PERSON?board=…&judge=…&columns=…&training=…&metric=…&by=…
// judge: whose columns the table has; by: under which judge the metric is looked at, where that is another one.

const DATA = JSON.parse(byId("data").textContent);
const COLUMNS = { summary: "Summary", identity: "Identity", images: "Images", attacks: "Attacks", cost: "Cost", all: "All" };
const DEFAULTS = { board: DATA.boards[0].name, judge: "first", columns: "summary", training: "any", metric: "", by: "" };

const boardOf = (state) => DATA.boards.find((board) => board.name === state.board) ?? DATA.boards[0];

/** The state of a link; what it does not know, such as a method that is not here, it leaves out. */
function parse(hash) {
  const [path, query] = hash.replace(/^#/, "").split("?");
  const [method, person] = path.split("/").map(decoded);
  const state = { ...DEFAULTS, method: "", person: "" };
  for (const [name, value] of new URLSearchParams(query)) if (name in DEFAULTS) state[name] = value;
  const board = boardOf(state);
  state.board = board.name;
  if (!(state.columns in COLUMNS)) state.columns = DEFAULTS.columns;
  if (!["first", "all", ...board.judges].includes(state.judge)) state.judge = DEFAULTS.judge;
  if (board.rows.some((row) => row.label === method)) state.method = method;
  if (state.method && board.people.includes(person)) state.person = person;
  return state;
}

function decoded(part) {
  try {
    return decodeURIComponent(part ?? "");
  } catch {
    return "";
  }
}

/** The link of a state. */
function link(state) {
  const path = [state.method, state.person].filter(Boolean).map(encodeURIComponent).join("/");
  const changed = Object.entries(DEFAULTS).filter(([name, value]) => state[name] && state[name] !== value);
  const query = new URLSearchParams(changed.map(([name]) => [name, state[name]])).toString();
  return `#${path}${query ? `?${query}` : ""}`;
}

const linkTo = (changes) => link({ ...parse(location.hash), ...changes });
const go = (changes) => (location.hash = linkTo(changes));

/** The judge whose columns are shown; null: all. */
function judgeOf(state) {
  if (state.judge === "all") return null;
  return state.judge === "first" ? (boardOf(state).judges[0] ?? null) : state.judge;
}

/** Under which judge a metric is looked at, if a link names no other. */
const usualJudge = (state) => judgeOf(state) ?? boardOf(state).judges[0];

/** Whether a column is shown. */
function isShown(column, state) {
  const judge = judgeOf(state);
  if (column.judge !== null && judge !== null && column.judge !== judge) return false;
  if (state.columns === "all") return true;
  return state.columns === "summary" ? column.first : column.kind === state.columns;
}

/** The place of the column that a state looks at: of its metric, or else the first that is shown. */
function columnOf(state) {
  const { columns } = boardOf(state);
  const judge = state.by || usualJudge(state);
  const places = [...columns.keys()];
  const mine = (place) => columns[place].judge === null || columns[place].judge === judge;
  return (
    places.find((place) => columns[place].metric === state.metric && mine(place)) ??
    places.find((place) => isShown(columns[place], state) && mine(place)) ??
    0
  );
}

/** A column's title as it is shown, with its judge where a table has several. */
function headOf(column, board) {
  return [...titled(column.title), column.judge && board.judges.length > 1 ? ` (${column.judge})` : ""];
}

/** A column's title as text, with its judge where a table has several. */
function titleOf(column, board) {
  return column.judge && board.judges.length > 1 ? `${column.title} (${column.judge})` : column.title;
}
