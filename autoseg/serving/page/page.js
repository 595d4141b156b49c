// The list of files: one after the other is sent and segmented; each can be ended, saved and shown.

const $ = (id) => document.getElementById(id);
const SAVED_AS = {"image/png": "_mask.png", "application/gzip": "_labels.nii.gz", "application/octet-stream": "_labels.nii"};
const ENDING = /\.(nii\.gz|nii|gz|png)$/i;
const HOPELESS = [413, 415, 422]; // the same file would be refused again
const NAMED = 12; // targets in a sentence, at most
const items = []; // {file, drop, state: "new", "busy", "done" or "failed", card, control, job}
let drops = 0, working = false, shown = null, values = "";

// --- words --------------------------------------------------------------------------------

function bytes(count) {
  const [unit, one] = count < 1e6 ? ["kB", 1e3] : count < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${Math.max(0.1, count / one).toFixed(count < 10 * one ? 1 : 0)} ${unit}`;
}

function duration(seconds) {
  if (seconds < 100) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function listed(names) {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function sentence(text) {
  return text[0].toUpperCase() + text.slice(1) + ".";
}

// For those who listen to the page: changes, not every tick.
function hear(item, text) {
  if (item.heard === text) return;
  item.heard = text;
  $("heard").textContent = `${item.file.name}: ${text}`;
}

function tell(item, text, share, seconds) {
  const percent = share === undefined ? "" : `, ${Math.floor(100 * share)} %`;
  const left = seconds ? `, about ${duration(seconds)} left` : "";
  const {told, progress} = item.card;
  told.textContent = text + percent + left;
  if (share === undefined) progress.removeAttribute("value");
  else progress.value = share;
  document.title = share ? `${Math.floor(100 * share)} % - autoseg` : "autoseg";
  hear(item, text.replace(/\d+ s$/, "a while") + (share ? `, ${25 * Math.floor(4 * share)} %` : ""));
}

// --- one file -----------------------------------------------------------------------------

function add(files) {
  drops++;
  for (const file of files) {
    const element = $("card").content.cloneNode(true).firstElementChild;
    const card = {element};
    for (const name of ["told", "save", "show", "again", "remove"]) card[name] = element.querySelector("." + name);
    card.progress = element.querySelector("progress");
    card.progress.setAttribute("aria-label", `progress of ${file.name}`);
    element.querySelector("b").textContent = file.name;
    element.querySelector(".name span").textContent = bytes(file.size);
    const item = {file, drop: drops, card};
    card.show.onclick = () => show(item, true);
    card.again.onclick = () => { enqueue(item); card.remove.focus(); };
    card.remove.onclick = () => remove(item);
    items.push(item);
    $("list").append(element);
    enqueue(item);
  }
  document.body.classList.toggle("busy", items.length > 0);
}

function enqueue(item) {
  const {element, told, progress, again, remove} = item.card;
  item.state = "new";
  item.control = new AbortController();
  told.className = "told";
  told.textContent = "Waits for its turn";
  progress.hidden = again.hidden = true;
  remove.textContent = "Cancel";
  work();
}

async function work() {
  if (working) return;
  working = true;
  for (let item; (item = items.find(({state}) => state === "new"));) await segment(item);
  working = false;
  document.title = "autoseg";
}

async function segment(item) {
  const {signal} = item.control, began = Date.now();
  const telling = (...said) => tell(item, ...said);
  item.state = "busy";
  item.card.progress.hidden = false;
  telling("Sending", 0);
  try {
    item.job = await submit(item.file, signal, telling);
    const status = await finished(item.job, signal, telling);
    const labels = await (await ask(`jobs/${item.job.id}/labels`, {signal})).blob();
    done(item, labels, [`Done in ${duration((Date.now() - began) / 1000)}.`, ...(status.warnings || []).map(sentence)]);
    if (!shown || shown.drop < item.drop) await show(item, false);
  } catch (error) {
    if (!signal.aborted) failed(item, error);
  }
}

function done(item, labels, said) {
  const {save, show, element} = item.card;
  const picture = labels.type === "image/png";
  if (picture) said.push(`The mask holds the values of the labels (${values}): picture viewers show it almost black.`);
  end(item, "done", said.join(" "));
  save.href = URL.createObjectURL(labels);
  save.download = item.file.name.replace(ENDING, "") + SAVED_AS[labels.type];
  save.textContent = picture ? "Download the mask" : "Download the labels";
  save.hidden = show.hidden = false;
  // What can be done next has the focus, unless it is in use elsewhere.
  const focus = document.activeElement;
  if (focus === document.body || focus === $("drop") || element.contains(focus)) save.focus();
}

function failed(item, error) {
  const {told, again} = item.card;
  if (item.job) forget(item.job);
  item.job = null;
  item.status = error.status;
  end(item, "failed", error.message);
  told.classList.add("bad");
  again.hidden = HOPELESS.includes(error.status);
  if (error.status === 401) demand("");
}

function end(item, state, text) {
  const {told, progress, remove} = item.card;
  item.state = state;
  told.textContent = text;
  progress.hidden = true;
  remove.textContent = "Remove";
  hear(item, text);
}

function remove(item) {
  const {element, save} = item.card;
  item.control.abort();
  if (item.job) forget(item.job);
  if (save.href) URL.revokeObjectURL(save.href);
  items.splice(items.indexOf(item), 1);
  element.remove();
  hear(item, item.state === "busy" || item.state === "new" ? "cancelled" : "removed");
  if (shown === item) { shown = null; $("seen").hidden = true; }
  document.body.classList.toggle("busy", items.length > 0);
  $("drop").focus();
}

async function show(item, asked) {
  const seen = $("seen");
  shown = item;
  for (const {state, card} of items) card.show.hidden = state !== "done" || shown.card === card;
  seen.hidden = false;
  seen.replaceChildren("Fetching the picture ...");
  if (asked) { seen.focus(); seen.scrollIntoView({block: "start"}); }
  try {
    const scene = await (await ask(`jobs/${item.job.id}/scene`, {signal: item.control.signal})).json();
    if (shown === item) await autosegViewer(seen, {...scene, title: item.file.name});
  } catch (error) {
    if (shown === item) seen.textContent = `${item.file.name} cannot be shown here: ${error.message}`;
  }
}

// --- the service, and what the user does --------------------------------------------------

async function introduce() {
  try {
    const {models} = await (await ask("models")).json();
    const names = models.map(({dataset, model, folds}) =>
      `${dataset}, ${model}, ${folds.length} ${folds.length > 1 ? "folds" : "fold"}`);
    const targets = Object.entries(models[0].targets);
    $("model").textContent = `${names.join(" + ")}: finds ${listed(targets.map(([name]) => name))}`;
    values = listed(targets.map(([name, [value]]) => `${value} ${name}`));
    $("key").hidden = true;
    for (const item of items) if (item.state === "failed" && item.status === 401) enqueue(item);
  } catch (error) {
    if (error.status === 401) demand(token && "This token is not the one.");
    else $("model").textContent = error.message;
  }
}

function demand(text) {
  token = "";
  $("key").hidden = false;
  $("wrong").textContent = text;
  $("token").value = "";
  $("token").focus();
}

function dragging(event, over) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  $("drop").classList.toggle("over", over);
}

document.addEventListener("dragenter", (event) => dragging(event, true));
document.addEventListener("dragover", (event) => dragging(event, true));
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) dragging(event, false); });
document.addEventListener("drop", (event) => { dragging(event, false); add(event.dataTransfer.files); });
$("drop").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => { add([...$("files").files]); $("files").value = ""; });
$("key").addEventListener("submit", (event) => { event.preventDefault(); token = $("token").value; introduce(); });
addEventListener("pagehide", () => items.forEach(({job}) => job && forget(job)));
introduce();
