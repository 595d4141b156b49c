// What the page asks the service, and how it waits for answers.

const SOON = 300, LATER = 1000; // ms between two questions, in the first seconds and after them
const PATIENCE = 10; // questions without an answer before the service counts as gone
const GONE = "The service does not answer. Is it still running, and is there a network?";
let token = ""; // for as long as the page is open

class Refused extends Error {
  constructor(status, text, wait = 0) {
    super(text);
    this.status = status; // 0: there was no answer
    this.wait = wait; // s after which to ask again; 0: no use
  }
}

function key() {
  return token ? {Authorization: "Bearer " + token} : {};
}

function refusal(status, text, wait) {
  let said = {};
  try { said = JSON.parse(text); } catch { /* not from the service itself */ }
  return new Refused(status, said.error || `The service answered ${status}.`, status === 503 && Number(wait) || 0);
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, {...options, headers: key()});
  } catch (error) {
    throw error.name === "AbortError" ? error : new Refused(0, GONE);
  }
  if (answer.ok) return answer;
  throw refusal(answer.status, await answer.text(), answer.headers.get("Retry-After"));
}

function pause(ms, signal) {
  return new Promise((done, stop) => {
    signal.throwIfAborted();
    const end = () => { clearTimeout(timer); stop(signal.reason); };
    const timer = setTimeout(() => { signal.removeEventListener("abort", end); done(); }, ms);
    signal.addEventListener("abort", end, {once: true});
  });
}

// Not with fetch: that does not say how much of a file has gone.
function post(file, signal, sent) {
  return new Promise((done, stop) => {
    const request = new XMLHttpRequest();
    request.open("POST", "segment");
    const headers = {...key(), "Content-Type": "application/octet-stream", Prefer: "respond-async"};
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => sent(event.loaded / event.total);
    request.onerror = () => stop(new Refused(0, GONE));
    request.onabort = () => stop(signal.reason);
    request.onload = () => request.status === 202 ? done(JSON.parse(request.responseText))
      : stop(refusal(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    signal.addEventListener("abort", () => request.abort(), {once: true});
    request.send(file);
  });
}

// Sends a file as soon as the service has room for it; returns its job.
async function submit(file, signal, tell) {
  await file.slice(0, 1).arrayBuffer().catch(() => { throw new Refused(0, "This cannot be read; is it a folder?"); });
  for (;;) {
    signal.throwIfAborted();
    try {
      return await post(file, signal, (share) => tell("Sending", share));
    } catch (error) {
      if (!error.wait) throw error;
      for (let left = error.wait; left > 0; left--) {
        tell(`The service says: ${error.message}. Asking again in ${left} s`);
        await pause(1000, signal);
      }
    }
  }
}

// Returns when the labels are there.
async function finished(job, signal, tell) {
  const began = Date.now();
  let status = job, silent = 0, first = null;
  while (status.state === "waiting" || status.state === "running") {
    const share = status.progress;
    if (silent) tell("The service does not answer; asking again", share);
    else if (status.state === "waiting") tell("Waiting for others to finish");
    else {
      first ??= {at: Date.now(), share};
      tell("Segmenting", share, secondsLeft(first, share));
    }
    await pause(Date.now() - began < 5000 ? SOON : LATER, signal);
    try {
      status = await (await ask("jobs/" + job.id, {signal})).json();
      silent = 0;
    } catch (error) {
      if (error.status !== 0 || ++silent > PATIENCE) throw error;
      await pause(LATER, signal);
    }
  }
  if (status.state === "failed") throw new Refused(status.status, status.error);
  return status;
}

// From what was done since the first tile; nothing before that says anything.
function secondsLeft(first, share) {
  const spent = (Date.now() - first.at) / 1000, done = share - first.share;
  return spent < 1 || done < 0.02 ? null : spent / done * (1 - share);
}

function forget(job) {
  return ask("jobs/" + job.id, {method: "DELETE", keepalive: true}).catch(() => {});
}
