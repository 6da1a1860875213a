// The page at the edge: polls one RPC, draws what it says, and talks to models through the same edge.
//
// Text from the mesh reaches the page as text alone (textContent): nothing of it is ever read as markup.

const POLL_MS = 2_000;
const MOST_BACKOFF_MS = 30_000;
const PATIENCE_MS = 10_000;
const STALE_MS = 7_000; // three polls that did not come
const POINTS = 90; // of a sparkline: three minutes
const FEWEST_POINTS = 30; // that its whole width stands for
const ASKED_REQUESTS = 60;
const FEW_REQUESTS = 15;
const GATEWAY_SECONDS = 60; // for so long a gateway counts as serving that answered one of our polls
const KEY = "hybrid-key";
const THEME = "hybrid-theme";

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

// ---- Elements ------------------------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key.includes("-") || key === "role" || key === "scope" || key === "for") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function state(node, value) {
  if (node.dataset.state !== value) node.dataset.state = value;
}

// Makes `parent` hold one child for each item. Those that are there stay, so that focus and selection do, too.
function keyed(parent, items, keyOf, make, fill) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = known.get(key);
    if (child) known.delete(key);
    else {
      child = make(item);
      child.dataset.key = key;
    }
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
    fill(child, item);
  }
  for (const child of known.values()) child.remove();
}

function row(...classes) {
  return element("tr", {}, ...classes.map((name) => element("td", { class: name })));
}

function badge() {
  return element("span", { class: "state" }, element("span", { class: "dot", ariaHidden: "true" }), element("span"));
}

function setBadge(node, kind, text) {
  state(node, kind);
  put(node.lastElementChild, text);
}

// A line of values over an area, from 0 to their highest; `ceiling` is the least that the whole height stands for.
function sparkline(values, ceiling = 1) {
  const top = Math.max(ceiling, ...values);
  const step = 100 / (Math.max(FEWEST_POINTS, values.length) - 1);
  const from = 100 - (values.length - 1) * step;
  const points = values.map((value, index) => `${(from + index * step).toFixed(1)},${(23 - (value / top) * 22).toFixed(1)}`);
  const line = drawn("polyline", { points: points.join(" "), class: "line" });
  const area = drawn("polygon", { points: `${from.toFixed(1)},24 ${points.join(" ")} 100,24`, class: "area" });
  const shape = { viewBox: "0 0 100 24", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" };
  return drawn("svg", shape, ...(values.length > 1 ? [area, line] : []));
}

function setSparkline(cell, values, ceiling) {
  cell.replaceChildren(sparkline(values, ceiling));
}

// ---- Words ---------------------------------------------------------------------------------------------------------

const seconds = (duration) => (duration === undefined ? undefined : Number.parseFloat(duration));
const word = (name, prefix) => (name ?? "").replace(prefix, "").toLowerCase().replaceAll("_", " ");

function time(value) {
  if (value === undefined || Number.isNaN(value)) return "–";
  if (value < 0.9995) return `${value < 0.01 ? (value * 1e3).toFixed(1) : (value * 1e3).toFixed(0)} ms`;
  if (value < 99.95) return `${value.toFixed(value < 9.995 ? 2 : 1)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

function age(value) {
  if (value < 60) return `${Math.round(value)} s`;
  if (value < 3_600) return `${Math.floor(value / 60)} min`;
  if (value < 172_800) return `${Math.floor(value / 3_600)} h`;
  return `${Math.floor(value / 86_400)} d`;
}

function dollars(usd) {
  if (!usd) return "$0";
  const digits = usd < 0.01 ? Number(usd.toPrecision(2)).toFixed(9) : usd.toFixed(usd < 1 ? 4 : 2);
  return `$${digits.replace(/(\.\d\d+?)0+$/, "$1")}`;
}

const nano = (value) => dollars(Number(value) / 1e9);
const short = (value) => (Number.isInteger(value) ? String(value) : Number(value.toPrecision(3)).toString());

function price(pico, source) {
  if (source === "unknown") return "?";
  return Number(pico) ? dollars(Number(pico) / 1e6) : "free";
}

const KINDS = {
  healthy: "good", serving: "good", success: "good",
  loading: "warn", draining: "warn", stalled: "warn", cancelled: "quiet", shed: "warn", deadline: "warn",
  unreachable: "bad", ejected: "bad", away: "bad", error: "bad", abandoned: "bad",
};

// Why a placement went where it went: where the chosen one and the best of the others differ most. Times are what scores
// are made of where there are any; else whatever the strategy compares.
function why(attempt) {
  if (attempt.strategy === "fallback") return "placed by the gateway alone, without a router";
  const decision = attempt.decision;
  if (!decision) return attempt.strategy;
  const [chosen, other] = decision.candidates;
  if (!chosen || !other) return `${decision.eligible} of ${decision.targets} could (${decision.strategy})`;
  const rival = other.worker || other.provider;
  if (Math.abs(other.score - chosen.score) <= 0.01 * Math.abs(other.score)) return `as good as ${rival} (${decision.strategy})`;
  const names = [...new Set([...Object.keys(chosen.terms), ...Object.keys(other.terms)])];
  const times = names.filter((name) => name.endsWith("_seconds"));
  const gap = (name) => (other.terms[name] ?? 0) - (chosen.terms[name] ?? 0);
  const best = (times.length ? times : names).reduce((most, name) => (!most || gap(name) > gap(most) ? name : most), undefined);
  if (!best || gap(best) <= 0) return `score ${short(chosen.score)}, ${rival} ${short(other.score)} (${decision.strategy})`;
  return `${best.replaceAll("_", " ")} ${short(chosen.terms[best] ?? 0)}, ${rival} ${short(other.terms[best] ?? 0)} (${decision.strategy})`;
}

// ---- What was heard ------------------------------------------------------------------------------------------------

// Each gateway tells of its own requests, and each poll may reach another one: what is heard is kept by gateway.
const heard = new Map(); // gateway -> { answer, at, rates }
const histories = new Map(); // name of a series -> its last values
const emitted = new Map(); // worker -> { count, at, rate }
const opened = new Set(); // ids of requests whose attempts are shown
let latest; // the last answer
let latestAt = 0;
let every = false; // whether all requests are shown that are known

function remember(series, value) {
  const values = histories.get(series) ?? [];
  values.push(value);
  if (values.length > POINTS) values.shift();
  histories.set(series, values);
  return values;
}

function take(answer) {
  const now = performance.now();
  const before = heard.get(answer.gateway);
  const rates = { requests: 0, tokens: 0 };
  if (answer.totals && before?.answer.started_at === answer.started_at && before.answer.totals) {
    const passed = (Date.parse(answer.at) - Date.parse(before.answer.at)) / 1e3;
    const grown = (name) => Math.max(0, Number(answer.totals[name]) - Number(before.answer.totals[name]));
    if (passed > 0) Object.assign(rates, { requests: grown("ended") / passed, tokens: grown("output_tokens") / passed });
  }
  if (latest && latest.extent !== answer.extent) forget();
  heard.set(answer.gateway, { answer, at: now, rates });
  for (const worker of answer.workers) {
    const last = emitted.get(worker.worker);
    const count = Number(worker.emitted);
    if (last?.count === count && now - last.at < 1_500) continue;
    const rate = last && count >= last.count ? ((count - last.count) * 1e3) / (now - last.at) : 0;
    emitted.set(worker.worker, { count, at: now, rate });
    remember(`load ${worker.worker}`, worker.running + worker.waiting);
  }
  latest = answer;
  latestAt = now;
  const sums = totals();
  if (sums) {
    remember("running", sums.running);
    remember("requests", sums.requestRate);
    remember("tokens", sums.tokenRate);
  }
}

function forget() {
  heard.clear();
  histories.clear();
  emitted.clear();
  opened.clear();
}

function totals() {
  const all = [...heard.values()].filter((each) => each.answer.totals);
  if (!all.length) return undefined;
  const sum = (of) => all.reduce((total, each) => total + of(each), 0);
  const counted = (name) => sum((each) => Number(each.answer.totals[name]));
  return {
    running: counted("running"), ended: counted("ended"), failed: counted("failed"), cost: counted("cost_nano_usd"),
    requestRate: sum((each) => each.rates.requests), tokenRate: sum((each) => each.rates.tokens),
  };
}

function recent() {
  const found = new Map();
  for (const { answer } of heard.values())
    for (const request of answer.requests) found.set(request.generation_id, { ...request, gateway: answer.gateway });
  return [...found.values()].sort((a, b) => (a.received_at < b.received_at ? 1 : -1)).slice(0, ASKED_REQUESTS);
}

// ---- Drawing -------------------------------------------------------------------------------------------------------

function draw() {
  const all = latest.extent === "OVERVIEW_EXTENT_ALL";
  const known = latest.extent !== "OVERVIEW_EXTENT_HEALTH";
  const requests = recent();
  $("workers-section").hidden = !all;
  $("processes-section").hidden = !all;
  $("models-section").hidden = !latest.models.length;
  $("requests-section").hidden = !known;
  $("chat").hidden = !known;
  put($("facts"), known ? `${latest.gateway}, version ${latest.version}, up ${age((Date.parse(latest.at) - Date.parse(latest.started_at)) / 1e3)}, configuration ${latest.config_version}` : "");
  drawTiles(requests);
  drawWorkers(latest.workers);
  drawModels(latest.models);
  drawRequests(requests);
  drawProcesses(latest.processes);
  offerModels(latest.models);
}

function quantile(values, share) {
  if (!values.length) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

function drawTiles(requests) {
  const sums = totals();
  const waiting = latest.workers.reduce((total, worker) => total + worker.waiting, 0);
  const firsts = requests.map((each) => seconds(each.first_content)).filter((each) => each !== undefined);
  const tiles = [
    { name: "Workers", value: `${latest.healthy_workers} of ${latest.total_workers}`, more: "healthy", bad: latest.healthy_workers < latest.total_workers },
  ];
  if (sums) {
    tiles.push(
      { name: "In flight", value: number.format(sums.running), more: waiting ? `${waiting} waiting` : "none waiting", series: "running", ceiling: 4 },
      { name: "Requests", value: number.format(sums.requestRate), unit: "/s", more: `${compact.format(sums.ended)} since the start`, series: "requests" },
      { name: "Output", value: compact.format(sums.tokenRate), unit: "tokens/s", more: "as requests end", series: "tokens", ceiling: 10 },
      { name: "Failed", value: sums.ended ? `${number.format((100 * sums.failed) / sums.ended)} %` : "–", more: `${compact.format(sums.failed)} of ${compact.format(sums.ended)}`, bad: sums.failed > 0 },
    );
  }
  if (latest.extent !== "OVERVIEW_EXTENT_HEALTH") {
    tiles.push({ name: "First content", value: time(quantile(firsts, 0.5)), more: `p95 ${time(quantile(firsts, 0.95))}, last ${firsts.length}` });
    tiles.push(
      sums
        ? { name: "Cost", value: nano(sums.cost), more: "since the start" }
        : { name: "Cost", value: nano(requests.reduce((total, each) => total + Number(each.cost_nano_usd), 0)), more: `your last ${requests.length}` },
    );
  }
  const make = () => element("div", { class: "tile" },
    element("dt"), element("dd", { class: "value" }, element("span"), element("small")), element("dd", { class: "more" }), element("dd", { class: "chart", ariaHidden: "true" }));
  keyed($("tiles"), tiles, (tile) => tile.name, make, (node, tile) => {
    const [name, value, more, chart] = node.children;
    put(name, tile.name);
    put(value.firstElementChild, tile.value);
    put(value.lastElementChild, tile.unit ? ` ${tile.unit}` : "");
    put(more, tile.more);
    state(more, tile.bad ? "bad" : "");
    chart.hidden = !tile.series;
    if (tile.series) setSparkline(chart, histories.get(tile.series) ?? [], tile.ceiling);
  });
}

function drawWorkers(workers) {
  put($("workers-count"), String(workers.length));
  const make = () => {
    const made = row("name", "", "wide dim", "load", "wide chart", "n", "n wide", "n", "n wide");
    made.cells[0].append(element("b"), element("small"));
    made.cells[1].append(badge());
    made.cells[3].append(element("span"), drawn("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", class: "gauge", "aria-hidden": "true" }, drawn("rect", { width: 100, height: 4, class: "rest" }), drawn("rect", { height: 4, class: "used" })));
    return made;
  };
  keyed($("workers"), workers, (worker) => worker.worker, make, (made, worker) => {
    const [name, health, models, load, chart, waiting, cache, first, events] = made.cells;
    put(name.firstElementChild, worker.worker);
    put(name.lastElementChild, worker.kind && worker.kind !== worker.provider ? `${worker.provider}, ${worker.kind}` : worker.provider);
    const loading = worker.loading_progress === undefined ? "" : ` ${Math.round(100 * worker.loading_progress)} %`;
    setBadge(health.firstElementChild, KINDS[worker.health] ?? "quiet", worker.health + loading);
    put(models, worker.models.join(", "));
    put(load.firstElementChild, worker.capacity ? `${worker.running} of ${worker.capacity}` : String(worker.running));
    const [rest, used] = load.lastElementChild.children;
    rest.setAttribute("width", worker.capacity ? 100 : 0);
    used.setAttribute("width", worker.capacity ? Math.min(100, (100 * worker.running) / worker.capacity) : 0);
    setSparkline(chart, histories.get(`load ${worker.worker}`) ?? [], worker.capacity || 4);
    put(waiting, String(worker.waiting));
    put(cache, cacheOf(worker));
    put(first, time(seconds(worker.first_content_latency)));
    put(events, number.format(emitted.get(worker.worker)?.rate ?? 0));
  });
}

// How full the attention cache is, and how much of the prompts was found in it.
function cacheOf(worker) {
  const asked = Number(worker.prefix_query_tokens);
  const hits = asked ? `, ${Math.round((100 * Number(worker.prefix_hit_tokens)) / asked)} % hit` : "";
  return worker.kv_usage === undefined ? "–" : `${Math.round(100 * worker.kv_usage)} %${hits}`;
}

function drawModels(models) {
  put($("models-count"), String(models.length));
  const routes = models.flatMap((model) => model.routes.map((route, index) => ({ model, route, index })));
  const make = () => {
    const made = row("name", "", "dim", "n", "n wide", "n", "n");
    made.cells[0].append(element("b"), element("small"));
    made.cells[1].append(element("span"), element("small"));
    return made;
  };
  keyed($("models"), routes, ({ model, index }) => `${model.name} ${index}`, make, (made, { model, route, index }) => {
    const [name, provider, role, workers, context, input, output] = made.cells;
    made.className = index ? "further" : "";
    put(name.firstElementChild, model.name);
    put(name.lastElementChild, index ? "" : model.aliases.join(", "));
    put(provider.firstElementChild, route.provider);
    put(provider.lastElementChild, route.provider_model);
    put(role, route.role);
    put(workers, `${route.healthy_workers} of ${route.workers}`);
    state(workers, route.healthy_workers ? "" : "bad");
    put(context, index ? "" : model.context_tokens ? compact.format(model.context_tokens) : "–");
    put(input, price(route.input_pico_usd, route.price_source));
    const timed = Number(route.second_pico_usd);
    put(output, timed ? `${dollars((timed * 3_600) / 1e12)} an hour` : price(route.output_pico_usd, route.price_source));
  });
}

function drawRequests(requests) {
  put($("requests-count"), String(requests.length));
  const tellers = [...heard.keys()].sort().join(", ");
  put($("requests-note"), requests.length
    ? `Told by ${tellers}. A gateway tells of its own requests only, as long as it runs; the ledger has all: hybrid requests, hybrid why.`
    : "None has ended yet at the gateway that answers.");
  $("more").hidden = requests.length <= FEW_REQUESTS;
  put($("more"), every ? "Show fewer" : `Show all ${requests.length}`);
  const shown = requests.filter((each, index) => every || index < FEW_REQUESTS || opened.has(each.generation_id));
  const lines = shown.flatMap((request) => (opened.has(request.generation_id) ? [{ request }, { request, detail: true }] : [{ request }]));
  keyed($("requests"), lines, ({ request, detail }) => (detail ? "detail " : "") + request.generation_id,
    ({ request, detail }) => (detail ? detailRow(request) : requestRow(request)),
    (made, { request, detail }) => {
      if (!detail) made.cells[0].firstElementChild.ariaExpanded = String(opened.has(request.generation_id));
    });
}

function requestRow(request) {
  const made = row("when", "name", "", "", "wide why", "n wide", "n wide", "n", "n");
  const [when, model, outcome, served, reason, tokens, first, total, cost] = made.cells;
  const arrived = new Date(request.received_at);
  const last = request.attempts.findLast((each) => each.kind !== "shadow");
  const toggle = element("button", { type: "button", class: "open", textContent: arrived.toLocaleTimeString("en-GB"), ariaExpanded: "false" });
  toggle.setAttribute("aria-controls", `detail-${request.generation_id}`);
  toggle.setAttribute("aria-label", `${toggle.textContent}, attempts of this request`);
  toggle.addEventListener("click", () => open(request.generation_id, !opened.has(request.generation_id)));
  when.append(toggle);
  model.append(element("b", { textContent: request.model }), element("small", { textContent: request.streamed ? `${request.operation}, streamed` : request.operation }));
  const ended = word(request.outcome, "OUTCOME_");
  const shown = badge();
  setBadge(shown, KINDS[ended] ?? "quiet", request.error_reason ? word(request.error_reason, "") : ended);
  outcome.append(shown);
  const tries = request.attempts.filter((each) => each.kind !== "shadow").length;
  served.append(element("span", { textContent: request.worker || request.provider || "nobody" }), element("small", { textContent: tries > 1 ? `attempt ${tries}` : "" }));
  reason.title = reason.textContent = last ? why(last) : request.refused_by ? refusal(request.refused_by) : "not placed";
  tokens.textContent = `${compact.format(request.input_tokens)} → ${compact.format(request.output_tokens)}`;
  first.textContent = time(seconds(request.first_content));
  total.textContent = time(seconds(request.duration));
  cost.textContent = nano(request.cost_nano_usd);
  return made;
}

function refusal(decision) {
  return `${decision.strategy}: none of ${decision.targets} could${ruledOut(decision.ruled_out)}`;
}

// How many could be chosen, where `why` does not say so.
function compared(decision) {
  return decision?.candidates.length > 1 ? `; ${decision.eligible} of ${decision.targets} could` : "";
}

function ruledOut(counts) {
  const told = Object.entries(counts ?? {}).sort((a, b) => b[1] - a[1]).map(([filter, count]) => `${filter} ${count}`);
  return told.length ? `; ruled out: ${told.join(", ")}` : "";
}

$("more").addEventListener("click", () => {
  every = !every;
  drawRequests(recent());
});

function open(id, wanted) {
  if (wanted) opened.add(id);
  else opened.delete(id);
  drawRequests(recent());
}

function detailRow(request) {
  const cell = element("td", { colSpan: 9, id: `detail-${request.generation_id}` });
  const whose = [request.owner && `owner ${request.owner}`, request.key_id && `key ${request.key_id}`, request.trace_id && `trace ${request.trace_id}`, `at ${request.gateway}`];
  cell.append(element("p", { class: "id" }, element("code", { textContent: request.generation_id }), ` ${whose.filter(Boolean).join(", ")}`));
  const whole = Math.max(seconds(request.duration), ...request.attempts.map((each) => seconds(each.placed_after) + seconds(each.duration)), 1e-6);
  for (const attempt of request.attempts) cell.append(attemptBlock(attempt, whole));
  if (request.refused_by) cell.append(element("p", { textContent: refusal(request.refused_by) }), candidates(request.refused_by.candidates));
  if (!request.attempts.length && !request.refused_by) cell.append(element("p", { textContent: "It was not placed." }));
  return element("tr", { class: "detail" }, cell);
}

function attemptBlock(attempt, whole) {
  const outcome = word(attempt.outcome, "OUTCOME_");
  const shown = badge();
  setBadge(shown, KINDS[outcome] ?? "quiet", attempt.error_reason ? word(attempt.error_reason, "") : outcome);
  const where = [attempt.worker, `${attempt.provider}/${attempt.provider_model}`].filter(Boolean).join(", ");
  const times = [`placed after ${time(seconds(attempt.placed_after))}`, attempt.first_content === undefined ? "no content" : `first content ${time(seconds(attempt.first_content))}`, `took ${time(seconds(attempt.duration))}`, nano(attempt.cost_nano_usd)];
  return element("div", { class: "attempt" },
    element("p", { class: "what" }, element("b", { textContent: `${attempt.number}${attempt.kind ? ` ${attempt.kind}` : ""}` }), ` ${where} `, shown),
    timeline(attempt, whole),
    element("p", { class: "dim", textContent: times.join(" · ") }),
    element("p", { textContent: `${why(attempt)}${compared(attempt.decision)}${ruledOut(attempt.decision?.ruled_out)}` }),
    candidates(attempt.decision?.candidates ?? []));
}

// When the attempt ran within its request: until its first content lighter than after it.
function timeline(attempt, whole) {
  const at = (value) => (1_000 * value) / whole;
  const begin = seconds(attempt.placed_after);
  const took = Math.max(seconds(attempt.duration), whole / 500);
  const first = Math.min(seconds(attempt.first_content) ?? took, took);
  return drawn("svg", { viewBox: "0 0 1000 8", preserveAspectRatio: "none", class: "timeline", "aria-hidden": "true" },
    drawn("rect", { width: 1_000, height: 8, class: "rest" }),
    drawn("rect", { x: at(begin), width: at(first), height: 8, class: "before" }),
    drawn("rect", { x: at(begin + first), width: at(took - first), height: 8, class: "used" }));
}

function candidates(list) {
  if (!list.length) return "";
  const head = ["Candidate", "Role", "Score", "Terms, or what rules it out"].map((text, index) => element("th", { scope: "col", textContent: text, class: index === 2 ? "n" : "" }));
  const body = list.map((one) => {
    const terms = Object.entries(one.terms ?? {}).map(([name, value]) => `${name} ${value === null ? "–" : short(Number(value))}`);
    return element("tr", {},
      element("td", { textContent: [one.worker, `${one.provider}/${one.provider_model ?? one.model}`].filter(Boolean).join(", ") }),
      element("td", { class: "dim", textContent: word(one.role, "ROUTE_ROLE_") }),
      element("td", { class: "n", textContent: one.score === undefined || one.score === null ? "–" : short(Number(one.score)) }),
      element("td", { class: "terms", textContent: one.ruled_out_by ? `ruled out: ${one.ruled_out_by}` : terms.join(", ") || "–" }));
  });
  return element("table", { class: "candidates" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

function drawProcesses(processes) {
  put($("processes-count"), String(processes.length));
  const serving = (name) => heard.has(name) && performance.now() - heard.get(name).at < GATEWAY_SECONDS * 1e3;
  const make = () => element("li", {}, badge(), element("span", { class: "name" }), element("small"));
  keyed($("processes"), processes, (process) => process.name, make, (node, process) => {
    const [shown, name, host] = node.children;
    // Envoy has brought this answer, and gateways that answered a moment ago serve.
    const seen = process.role === "envoy" || serving(process.name) ? "serving" : process.state;
    setBadge(shown, KINDS[seen] ?? "quiet", seen === "unknown" ? "not watched" : seen);
    put(name, process.name);
    put(host, process.host ? `on ${process.host}` : "");
  });
}

// ---- Polling -------------------------------------------------------------------------------------------------------

let timer;
let polling;
let failures = 0;

function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key ? { authorization: `Bearer ${key}` } : {};
}

// What a failed answer says, in words for people.
async function problem(reply) {
  const told = await reply.json().catch(() => undefined);
  return told?.error?.message ?? told?.message ?? `The mesh answered ${reply.status}.`;
}

function notice(text, bad = true) {
  $("notice").hidden = !text;
  put($("notice"), text);
  state($("notice"), bad ? "bad" : "");
}

async function poll() {
  clearTimeout(timer);
  polling?.abort();
  const mine = (polling = new AbortController());
  try {
    const signal = AbortSignal.any([mine.signal, AbortSignal.timeout(PATIENCE_MS)]);
    const reply = await fetch(`api/v1/overview?max_requests=${ASKED_REQUESTS}`, { headers: authorization(), cache: "no-store", signal });
    if (!reply.ok) throw new Error(await problem(reply));
    take(await reply.json());
    failures = 0;
    const needed = latest.extent === "OVERVIEW_EXTENT_HEALTH";
    notice(needed ? "This mesh answers with keys. Enter yours to see its requests and to chat; it stays in this tab until that is closed." : "", false);
    draw();
  } catch (error) {
    if (mine.signal.aborted) return;
    failures += 1;
    notice(error.name === "TimeoutError" || error instanceof TypeError ? "The mesh does not answer. What is shown is what it said last." : error.message);
  }
  tick();
  if (!document.hidden) timer = setTimeout(poll, Math.min(MOST_BACKOFF_MS, POLL_MS * 2 ** failures));
}

function tick() {
  const since = (performance.now() - latestAt) / 1e3;
  const stale = since * 1e3 > STALE_MS || failures > 0;
  state($("live"), latest ? (stale ? "stale" : "live") : failures ? "away" : "waiting");
  put($("live-text"), latest ? (stale ? `heard ${age(since)} ago` : "live") : failures ? "no answer" : "connecting");
}

setInterval(tick, 1_000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else poll();
});

// ---- Key and colours -----------------------------------------------------------------------------------------------

function showKey() {
  const held = Boolean(sessionStorage.getItem(KEY));
  $("key").value = "";
  $("key").placeholder = held ? "in use" : "hi_…";
  $("key-form").querySelector("button").textContent = held ? "Replace" : "Use";
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
  showKey();
  forget();
  latest = undefined;
  for (const part of [...document.querySelectorAll("section[id]"), $("chat")]) part.hidden = true;
  $("tiles").replaceChildren();
  put($("facts"), "");
  failures = 0;
  poll();
});

function wear(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

$("theme").addEventListener("change", (event) => {
  localStorage.setItem(THEME, event.target.value);
  wear(event.target.value);
});
const worn = localStorage.getItem(THEME);
const radio = $("theme").querySelector(`[value="${worn === "light" || worn === "dark" ? worn : "auto"}"]`);
radio.checked = true;
wear(radio.value);

// ---- Chat ----------------------------------------------------------------------------------------------------------

const turns = []; // of the conversation, as the API takes them
let answering; // aborts the answer that is under way

function offerModels(models) {
  const able = models.filter((model) => !model.capabilities.length || model.capabilities.includes("CAPABILITY_CHAT"));
  keyed($("model"), able, (model) => model.name, (model) => element("option", { value: model.name, textContent: model.name }), () => {});
  const none = !able.length;
  $("send").disabled = none || Boolean(answering);
  $("explain").disabled = none;
}

function say(kind, text = "") {
  $("empty")?.remove();
  const said = element("p", { class: "text" }, text);
  const turn = element("div", { class: `turn ${kind}` }, element("p", { class: "who", textContent: { user: "You", assistant: $("model").value, explained: "Route", failed: "Not answered" }[kind] }), said);
  $("log").append(turn);
  $("log").scrollTop = $("log").scrollHeight;
  return { turn, said };
}

async function* events(body) {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}

async function ask(question) {
  turns.push({ role: "user", content: question });
  say("user", question);
  const { turn, said } = say("assistant");
  const log = $("log");
  const meta = element("p", { class: "meta" });
  const begun = performance.now();
  const model = $("model").value;
  let first, id, usage, finish, text = "";
  answering = new AbortController();
  working(true);
  try {
    const body = JSON.stringify({ model, messages: turns, stream: true, stream_options: { include_usage: true } });
    const headers = { "content-type": "application/json", ...authorization() };
    const reply = await fetch("v1/chat/completions", { method: "POST", headers, body, signal: answering.signal });
    if (!reply.ok) throw new Error(await problem(reply));
    const where = reply.headers.get("x-hybrid-worker") ?? reply.headers.get("x-hybrid-provider");
    for await (const data of events(reply.body)) {
      if (data === "[DONE]") break;
      const piece = JSON.parse(data);
      if (piece.error) throw new Error(piece.error.message);
      id = piece.id ?? id;
      usage = piece.usage ?? usage;
      finish = piece.choices?.[0]?.finish_reason ?? finish;
      const delta = piece.choices?.[0]?.delta ?? {};
      const more = delta.content ?? delta.refusal ?? "";
      if (!more) continue;
      first ??= performance.now();
      text += more;
      const low = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      said.append(more);
      said.normalize();
      if (low) log.scrollTop = log.scrollHeight;
    }
    if (!finish) throw new Error("The answer broke off.");
    const facts = [where, usage && `${usage.completion_tokens} tokens`, first && `first after ${time((first - begun) / 1e3)}`, `done in ${time((performance.now() - begun) / 1e3)}`, finish === "stop" ? "" : `ended by ${finish}`];
    meta.textContent = facts.filter(Boolean).join(" · ");
    $("chat-state").textContent = "Answered.";
  } catch (error) {
    const stopped = error.name === "AbortError";
    const message = error instanceof TypeError ? "The connection to the mesh was lost." : error.message;
    meta.textContent = stopped ? "Stopped by you." : message;
    turn.classList.toggle("failed", !stopped);
    $("chat-state").textContent = stopped ? "Stopped." : "Not answered.";
  }
  if (text) turns.push({ role: "assistant", content: text });
  else turns.pop();
  turn.append(meta);
  if (id) meta.append(" · ", whyButton(id.replace(/^chatcmpl-/, "")));
  log.scrollTop = log.scrollHeight;
  answering = undefined;
  working(false);
  poll();
}

function whyButton(id) {
  const button = element("button", { type: "button", class: "link", textContent: "Why there?" });
  button.addEventListener("click", async () => {
    if (!recent().some((each) => each.generation_id === id)) await poll();
    const there = recent().some((each) => each.generation_id === id);
    if (!there) return void ($("chat-state").textContent = "The gateway that answers now has not told of it; try again.");
    open(id, true);
    const toggle = $("requests").querySelector(`[data-key="${CSS.escape(id)}"] button`);
    toggle?.focus();
    toggle?.scrollIntoView({ block: "center" });
  });
  return button;
}

function working(yes) {
  $("log").ariaBusy = String(yes);
  $("send").disabled = yes;
  $("stop").disabled = !yes;
  if (yes) $("chat-state").textContent = "Answering.";
  else if (document.activeElement === document.body) $("question").focus(); // the button that had it is disabled
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || answering || $("send").disabled) return;
  $("question").value = "";
  ask(question);
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
$("chat").addEventListener("keydown", (event) => {
  if (event.key === "Escape") answering?.abort();
});
$("stop").addEventListener("click", () => answering?.abort());
$("clear").addEventListener("click", () => {
  answering?.abort();
  turns.length = 0;
  $("log").replaceChildren();
  $("chat-state").textContent = "Cleared.";
  $("question").focus();
});
$("explain").addEventListener("click", async () => {
  const question = $("question").value.trim() || "Hello";
  const body = JSON.stringify({ model: $("model").value, messages: [...turns, { role: "user", content: question }] });
  try {
    const reply = await fetch("v1/explain", { method: "POST", headers: { "content-type": "application/json", ...authorization() }, body, signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!reply.ok) throw new Error(await problem(reply));
    const told = await reply.json();
    const fate = { placed: "It would be placed now.", waiting: `It would wait, ${told.ahead} before it.`, refused: `It would be refused: ${told.error?.message ?? ""}` }[told.fate] ?? told.fate;
    const { turn } = say("explained", `${fate} ${told.strategy}: ${told.eligible} of ${told.targets} could take it.`);
    turn.append(element("div", { class: "scroll", role: "region", tabIndex: 0, ariaLabel: "Candidates" }, candidates(told.candidates)));
  } catch (error) {
    say("failed", error.name === "TimeoutError" || error instanceof TypeError ? "The mesh does not answer." : error.message);
  }
  $("log").scrollTop = $("log").scrollHeight;
});

showKey();
poll();
