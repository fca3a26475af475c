"use strict";
// The table: sorting, filtering and hiding by TanStack Table, drawn as a plain table that every reader knows.

const results = { table: null, board: null, sorting: [], query: "" };

/** Draws the table of a state. */
function drawTable(state) {
  const board = boardOf(state);
  if (results.board !== board) {
    results.board = board;
    results.sorting = [];
    results.table = makeTable(board);
  }
  const visible = Object.fromEntries(board.columns.map((column, place) => [`c${place}`, isShown(column, state)]));
  const filters = state.training === "any" ? [] : [{ id: "seen", value: state.training === "seen" }];
  results.table.setOptions((options) => ({
    ...options,
    state: {
      ...results.table.initialState,
      sorting: results.sorting,
      globalFilter: results.query,
      columnFilters: filters,
      columnVisibility: { ...visible, seen: false },
    },
  }));
  const rows = results.table.getRowModel().rows;
  const box = byId("results");
  const [focused, left] = [document.activeElement?.dataset?.sort, box.scrollLeft];
  box.replaceChildren(tableOf(board, rows.map((row) => row.original), state));
  box.scrollLeft = left;
  if (focused) box.querySelector(`[data-sort="${focused}"]`)?.focus();
  byId("shown").textContent = `${rows.length} of ${plural(board.rows.length, "row")} shown`;
}

function makeTable(board) {
  const columns = board.columns.map((column, place) => ({
    id: `c${place}`,
    accessorFn: (row) => row.cells[place]?.mean,
    sortingFn: "basic",
    sortUndefined: "last",
    sortDescFirst: column.direction === "higher",
    enableGlobalFilter: false,
  }));
  const method = { id: "method", accessorFn: (row) => [row.title, ...row.by.map((one) => one.name)].join(" "), sortingFn: "alphanumeric", filterFn: "includesString" };
  const seen = { id: "seen", accessorFn: (row) => row.seen, filterFn: "equals", enableGlobalFilter: false };
  return TableCore.createTable({
    data: board.rows,
    columns: [method, ...columns, seen],
    state: {},
    onStateChange: () => {},
    onSortingChange: (update) => {
      results.sorting = typeof update === "function" ? update(results.sorting) : update;
      drawTable(parse(location.hash));
    },
    globalFilterFn: "includesString",
    getColumnCanGlobalFilter: (column) => column.id === "method",
    enableMultiSort: false,
    renderFallbackValue: null,
    getCoreRowModel: TableCore.getCoreRowModel(),
    getFilteredRowModel: TableCore.getFilteredRowModel(),
    getSortedRowModel: TableCore.getSortedRowModel(),
  });
}

function tableOf(board, rows, state) {
  const places = [...board.columns.keys()].filter((place) => isShown(board.columns[place], state));
  const judged = judgeOf(state) === null && board.judges.length > 1;
  const known = places.some((place) => board.columns[place].people);
  return h(
    "table",
    { class: "results" },
    h("caption", { class: "hidden" }, `${board.protocol.title}, testbed ${board.testbed}`),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heading("method", "method", "", "The method, with the settings that were changed"),
        places.map((place) => {
          const column = board.columns[place];
          const under = judged && column.judge ? column.judge : "";
          return heading(`c${place}`, [...titled(column.title), column.arrow ? `\u00a0${column.arrow}` : ""], under, column.summary);
        }),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) => rowOf(row, places, state)),
      rows.length ? null : h("tr", {}, h("td", { colspan: places.length + 1, class: "none" }, "No row passes the filters.")),
    ),
    known
      ? h(
          "tfoot",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "row" }, "different people"),
            places.map((place) => h("td", {}, board.columns[place].people?.text ?? "")),
          ),
        )
      : null,
  );
}

function heading(id, title, under, summary) {
  const column = results.table.getColumn(id);
  const sorted = column.getIsSorted();
  const order = sorted === "asc" ? "ascending" : sorted === "desc" ? "descending" : "none";
  return h(
    "th",
    { scope: "col", "aria-sort": order, class: id === "method" ? "method" : null },
    h(
      "button",
      { type: "button", title: summary, "data-sort": id, onclick: () => column.toggleSorting() },
      title,
      h("span", { class: "sort", "aria-hidden": "true" }, sorted === "asc" ? "▲" : sorted === "desc" ? "▼" : ""),
    ),
    under ? h("small", {}, under) : null,
  );
}

function rowOf(row, places, state) {
  const chosen = row.label === state.method;
  const doubted = new Set(row.flags.flatMap((flag) => flag.columns));
  return h(
    "tr",
    { class: [row.floor ? "floor" : "", chosen ? "chosen" : ""].join(" ").trim() || null },
    h(
      "th",
      { scope: "row", class: "method" },
      h("a", { href: linkTo({ method: row.label, person: "" }) }, swatch(row), h("span", {}, row.title)),
      badges(row),
      onlySubmitter(results.board) ? null : row.by.map((by) => submitted(by)),
      row.attacked.map((found) => h("small", { class: "attacked" }, found)),
    ),
    places.map((place) => cellOf(row, place, state, doubted.has(place))),
  );
}

/** Who handed every row of a board in, if it is one; then it is said once, above the table. */
function onlySubmitter(board) {
  const every = unique(board.rows.map((row) => JSON.stringify(row.by)));
  const by = every.length === 1 ? JSON.parse(every[0]) : [];
  return by.length === 1 ? by[0] : null;
}

/** Who handed a row in, and how its settings were found. */
const submitted = (by, tag = "small") =>
  h(
    tag,
    {},
    "submitted: ",
    by.link ? h("a", { href: by.link, rel: "noopener nofollow" }, by.name) : by.name,
    by.tuning ? ` (${by.tuning})` : " (tuning not stated)",
  );

const swatch = (row) => h("span", { class: "swatch", style: `--colour: ${row.colour}`, "aria-hidden": "true" });

/** What a reader of a row must know. */
function badges(row) {
  const known = [row.mark, ...row.marks].filter(Boolean);
  const shown = [
    row.doubts.map((doubt) => h("span", { class: "badge doubt", title: `unreliable: ${doubt}` }, spoken("unreliable: "), doubt)),
    known.map((mark) => h("span", { class: "badge" }, mark)),
    row.notes.map((note) => h("span", { class: "badge note" }, note)),
  ].flat();
  return shown.length ? h("span", { class: "badges" }, shown) : null;
}

function cellOf(row, place, state, doubted) {
  const cell = row.cells[place];
  if (!cell) return h("td", {}, spoken("not measured"));
  const column = boardOf(state).columns[place];
  const by = column.judge === null || column.judge === usualJudge(state) ? "" : column.judge;
  const [mean, std] = cell.text.split(" ± ");
  const isHere = row.label === state.method && columnOf(state) === place;
  return h(
    "td",
    { class: [cell.best ? "best" : "", doubted ? "doubted" : "", isHere ? "here" : ""].join(" ").trim() || null },
    h(
      "a",
      {
        href: linkTo({ method: row.label, metric: column.metric, person: state.person, by }),
        title: `${titleOf(column, boardOf(state))} of ${row.title}, person by person`,
      },
      h("span", { class: "mean" }, mean),
      std === undefined ? null : h("span", { class: "std" }, ` ± ${std}`),
      cell.dagger ? h("sup", {}, "†") : null,
      doubted ? spoken(", unreliable") : null,
      cell.of ? h("small", {}, `${cell.n} of ${cell.of}`) : null,
    ),
  );
}
