// The inbox: draws what the server tells, and tells it what the reader does.
//
// Law: nothing of a message becomes markup: texts are set as `textContent`, and the page's policy
// refuses anything else. The server is the truth: on each connection it tells all it knows, and
// nothing is drawn before it has said so.

const at = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const READABLE = new Set([...at("new-channel").options].map((option) => option.value));

const conversations = new Map(); // by channel and client id, in the order of their arrival
const ofRow = new WeakMap(); // the same, by row of the list
let entries = []; // all that is kept, oldest first
let keep = 1000;
let chosen = null; // the conversation that is open
let active = null; // the one that the keyboard is at, in the list
let pinned = true; // whether the reader is at the end of the thread
let figures = null;
let awaited = 0; // the switch of the weather that figures must know of to be believed about it

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const counted = (count, noun) => `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;

// Conversations

function conversation(channel, client) {
  const key = `${channel}/${client}`;
  let found = conversations.get(key);
  if (!found) {
    const row = element("li", "");
    row.id = `conversation-${channel}-${client}`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", "false");
    const parts = {};
    for (const part of ["channel", "client", "fresh", "last", "twice"]) {
      parts[part] = element("span", part);
      row.append(parts[part], " ");
    }
    parts.channel.textContent = channel;
    parts.client.textContent = client;
    found = { key, channel, client, row, parts, entries: [], fresh: 0, draft: "" };
    row.addEventListener("click", () => choose(found, true));
    conversations.set(key, found);
    ofRow.set(row, found);
    at("conversations").prepend(row);
  }
  return found;
}

const duplicatesOf = (one) => one.entries.filter((entry) => entry.duplicate).length;

function drawRow(one) {
  const last = one.entries.at(-1);
  const said = last && `${last.direction === "in" ? "User: " : "You: "}${last.text.slice(0, 200)}`;
  const twice = duplicatesOf(one);
  one.parts.last.textContent = said ?? "Nothing was said yet";
  one.parts.fresh.textContent = one.fresh ? `${number.format(one.fresh)} new` : "";
  one.parts.twice.textContent = twice ? `▲ ${counted(twice, "duplicate")}` : "";
  const words = at("filter").value.trim().toLowerCase();
  const text = `${one.channel} ${one.client} ${said ?? ""}`.toLowerCase();
  one.row.hidden = !words.split(/\s+/).every((word) => text.includes(word));
}

function drawList() {
  at("none").hidden = conversations.size > 0;
  at("conversations").hidden = conversations.size === 0;
  document.body.dataset.empty = conversations.size ? "no" : "yes";
  at("guide-title").textContent = conversations.size ? "Choose a conversation" : "No messages yet";
}

function forget(gone) {
  const touched = new Set();
  for (const entry of gone) {
    const one = conversations.get(`${entry.channel}/${entry.client_id}`);
    one.entries.shift();
    entry.bubble?.remove();
    touched.add(one);
  }
  for (const one of touched) {
    if (one.entries.length || one === chosen) drawRow(one);
    else {
      one.row.remove();
      conversations.delete(one.key);
    }
  }
}

function take(fresh) {
  const touched = new Set();
  for (const entry of fresh) {
    const one = conversation(entry.channel, entry.client_id);
    one.entries.push(entry);
    if (one !== chosen) one.fresh += 1;
    touched.delete(one); // so that the latest comes last
    touched.add(one);
  }
  entries.push(...fresh);
  if (entries.length > keep) forget(entries.splice(0, entries.length - keep));
  const list = at("conversations");
  for (const one of touched) {
    if (!conversations.has(one.key)) continue;
    drawRow(one);
    if (list.firstChild !== one.row) list.prepend(one.row);
  }
  if (touched.has(chosen)) {
    appendBubbles(fresh.filter((entry) => entry.channel === chosen.channel && entry.client_id === chosen.client));
  }
  drawList();
}

// The thread

function bubble(entry) {
  const made = element("li", entry.direction);
  const text = element("p", "text", entry.text);
  text.dir = "auto";
  const from = entry.direction === "in" ? "The user" : "Your program";
  const time = new Date(entry.at * 1000);
  const stamp = element("time", "", clock.format(time));
  stamp.dateTime = time.toISOString();
  const meta = element("p", "meta", `${from} · `);
  meta.append(stamp, ` · message ${entry.message_id}`);
  if (entry.duplicate) {
    made.classList.add("duplicate");
    made.append(element("p", "twice", "▲ Duplicate: this client got this text before"));
  }
  made.append(text);
  if (entry.length > entry.text.length) {
    made.append(element("p", "hint", `and ${counted(entry.length - entry.text.length, "more character")}`));
  }
  made.append(meta);
  entry.bubble = made;
  return made;
}

function appendBubbles(fresh) {
  const first = chosen.entries[0]?.number ?? Infinity; // what came before is forgotten already
  const kept = fresh.filter((entry) => entry.number >= first).map(bubble);
  for (const made of kept) made.classList.add("fresh");
  at("messages").append(...kept);
  stayAtEnd();
  drawHead();
}

// Whoever reads the end goes on reading it, as messages come and as the window changes its size.
function stayAtEnd() {
  if (pinned) at("scroll").scrollTop = at("scroll").scrollHeight;
}

function drawHead() {
  const twice = duplicatesOf(chosen);
  at("thread-count").textContent =
    counted(chosen.entries.length, "message") + (twice ? `, ${counted(twice, "duplicate")}` : "");
  at("silent").hidden = chosen.entries.length > 0;
}

function drawThread() {
  at("thread").hidden = !chosen;
  at("guide").hidden = Boolean(chosen);
  document.body.dataset.view = chosen ? "thread" : "list";
  if (!chosen) return at("messages").replaceChildren();
  const { channel, client } = chosen;
  at("thread-title").replaceChildren(element("span", "channel", channel), " ", element("span", "client", client));
  at("messages").replaceChildren(...chosen.entries.map(bubble));
  pinned = true;
  stayAtEnd();
  const readable = READABLE.has(channel);
  at("text").disabled = at("say").disabled = !readable;
  at("composer-label").textContent = readable
    ? `Write as ${client} on ${channel}`
    : `Nobody can write on ${channel}: the API reads ${[...READABLE].join(", ")} only`;
  at("composer-error").textContent = "";
  drawHead();
}

function activate(one) {
  active?.row.classList.remove("active");
  active = one;
  const list = at("conversations");
  if (!one) return list.removeAttribute("aria-activedescendant");
  one.row.classList.add("active");
  list.setAttribute("aria-activedescendant", one.row.id);
  one.row.scrollIntoView({ block: "nearest" });
}

function choose(one, intoThread) {
  const before = chosen;
  chosen = one;
  if (before && before !== one) {
    before.row.setAttribute("aria-selected", "false");
    before.draft = at("text").value;
    if (!before.entries.length) {
      before.row.remove();
      conversations.delete(before.key);
    }
  }
  if (one) {
    one.fresh = 0;
    drawRow(one);
    one.row.setAttribute("aria-selected", "true");
    if (before !== one) at("text").value = one.draft;
  }
  activate(one);
  drawList();
  drawThread();
  if (intoThread) (at("text").disabled ? at("scroll") : at("text")).focus();
}

// Whether list and thread stand side by side.
const isWide = () => getComputedStyle(at("back")).display === "none";

function backToList() {
  const one = chosen;
  if (!isWide()) choose(null);
  activate(conversations.get(one?.key) ?? null);
  at("conversations").focus();
}

// Figures, weather, news

function drawFigures(now) {
  const before = figures;
  figures = now;
  for (const name of ["pace", "delivered", "duplicates", "faults"]) {
    at(name).textContent = number.format(now[name]);
  }
  at("duplicates-figure").classList.toggle("loud", now.duplicates > 0);
  at("alarm").hidden = now.duplicates === 0;
  if (now.duplicates && now.duplicates !== before?.duplicates) {
    at("alarm-text").textContent =
      `${counted(now.duplicates, "duplicate")}: somebody got the same message twice.`;
  }
  at("alarm-show").hidden = !entries.some((entry) => entry.duplicate);
  const changed = ["weather", "lasts", "switches"].some((name) => before?.[name] !== now[name]);
  if (changed && now.switches >= awaited) drawWeather(now, before);
}

function drawWeather(now, before) {
  const select = at("weather");
  select.value = now.weather;
  at("weather-form").dataset.calm = now.weather === "calm" ? "yes" : "no";
  const isFault = Boolean(select.selectedOptions[0]?.closest("optgroup"));
  if (isFault) at("once").checked = !now.lasts;
  if (before && before.weather !== now.weather) tell(`Weather is now ${select.selectedOptions[0]?.label}.`);
}

function offerWeathers(presets) {
  const select = at("weather");
  const groups = new Map([["", select]]);
  const mixed = new Option("Mixed: set by your program", "mixed");
  mixed.hidden = mixed.disabled = true;
  select.replaceChildren(mixed);
  for (const { name, label, group } of presets) {
    if (!groups.has(group)) {
      const made = document.createElement("optgroup");
      made.label = group;
      groups.set(group, made);
      select.append(made);
    }
    groups.get(group).append(new Option(label, name));
  }
}

function tell(text) {
  at("news").textContent = text;
}

function announce(fresh) {
  if (fresh.length > 1) return tell(`${counted(fresh.length, "new message")}.`);
  const [entry] = fresh;
  if (!entry) return;
  const who = entry.direction === "in" ? "Written by" : "Delivered to";
  tell(`${who} ${entry.client_id} on ${entry.channel}: ${entry.text.slice(0, 100)}`);
}

// What the reader does

async function post(path, content) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

async function switchWeather() {
  const asked = { name: at("weather").value, once: at("once").checked };
  awaited = Infinity;
  try {
    awaited = (await post("/inbox/weather", asked)).switches;
  } catch (error) {
    awaited = 0;
    tell(`The weather was not changed: ${error.message}`);
  }
  if (figures && figures.switches >= awaited) drawWeather(figures, figures);
}

at("weather").addEventListener("change", switchWeather);
at("once").addEventListener("change", () => {
  if (at("weather").selectedOptions[0]?.closest("optgroup")) switchWeather();
});

at("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = at("text").value;
  if (!chosen || !text.trim()) return;
  const one = chosen;
  at("composer-error").textContent = "";
  try {
    await post("/inbox/say", { channel: one.channel, client_id: one.client, text });
    if (chosen === one) at("text").value = "";
    else one.draft = "";
  } catch (error) {
    at("composer-error").textContent = `Not written: ${error.message}`;
  }
});

at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("composer").requestSubmit();
  }
});

at("thread").addEventListener("keydown", (event) => {
  if (event.key === "Escape") backToList();
});

at("scroll").addEventListener("scroll", () => {
  const { scrollHeight, scrollTop, clientHeight } = at("scroll");
  pinned = scrollHeight - scrollTop - clientHeight < 40;
});
new ResizeObserver(stayAtEnd).observe(at("scroll"));

at("back").addEventListener("click", backToList);
at("filter").addEventListener("input", () => conversations.forEach(drawRow));

at("filter").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") {
    event.preventDefault();
    at("conversations").focus();
  }
});

at("new").addEventListener("submit", (event) => {
  event.preventDefault();
  const one = conversation(at("new-channel").value, at("new-client").value);
  choose(one, true);
});

at("alarm-show").addEventListener("click", () => {
  const last = entries.findLast((entry) => entry.duplicate);
  choose(conversation(last.channel, last.client_id), false);
  last.bubble.scrollIntoView({ block: "center" });
  at("scroll").focus();
});

const shownRows = () => [...at("conversations").querySelectorAll("li:not([hidden])")];

at("conversations").addEventListener("focus", () => {
  if (!active && shownRows().length) activate(ofRow.get(shownRows()[0]));
});

at("conversations").addEventListener("keydown", (event) => {
  const rows = shownRows();
  const here = rows.indexOf(active?.row);
  // Nothing is open yet: the first arrow opens the row that the keyboard is at already.
  const step = chosen || !isWide() ? 1 : 0;
  const goals = { ArrowDown: here + step, ArrowUp: here - step, Home: 0, End: rows.length - 1 };
  if (event.key in goals && rows.length) {
    event.preventDefault();
    const one = ofRow.get(rows[Math.max(0, Math.min(rows.length - 1, goals[event.key]))]);
    if (isWide()) choose(one, false);
    else activate(one);
  } else if (event.key === "Enter" && active) {
    event.preventDefault();
    choose(active, true);
  } else if (event.key === "Escape" && chosen) {
    choose(null);
  }
});

for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = !navigator.clipboard; // only where the browser trusts the address
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(at(button.dataset.copies).textContent);
    tell("Copied.");
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

// The connection

function linkIs(state, text) {
  at("link").dataset.state = state;
  at("link").textContent = text;
}

const source = new EventSource("/inbox/events");

source.addEventListener("start", (event) => {
  const told = JSON.parse(event.data);
  const open = chosen && [chosen.channel, chosen.client];
  conversations.clear();
  at("conversations").replaceChildren();
  entries = [];
  chosen = active = figures = null;
  keep = told.keep;
  awaited = 0;
  at("text").maxLength = told.longest;
  at("settings").textContent =
    `export ALDEAMO_BASE_URL=${location.origin}/bots\n` +
    `export ALDEAMO_API_KEY=${told.key ?? "the-key-of-your-sandbox"}`;
  offerWeathers(told.presets);
  take(told.entries);
  for (const one of conversations.values()) one.fresh = 0;
  conversations.forEach(drawRow);
  choose(open ? conversation(...open) : null, false);
  drawFigures(told.figures);
  linkIs("live", "Live");
});

source.addEventListener("news", (event) => {
  const told = JSON.parse(event.data);
  take(told.entries);
  drawFigures(told.figures);
  announce(told.entries);
});

source.addEventListener("error", () => linkIs("lost", "The sandbox does not answer; trying again"));
