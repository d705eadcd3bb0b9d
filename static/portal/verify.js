// The page that checks a receipt: takes a file and a key, shows each step and what the receipt proves.
(() => {
  "use strict";
  const KEYS_OF_THIS_PORTAL = "/.well-known/training-consent-log.json";
  const words = JSON.parse(document.getElementById("words").textContent);
  const file = document.getElementById("receipt");
  const vkey = document.getElementById("vkey");
  const drop = document.querySelector("[data-drop]");
  const found = document.getElementById("found");
  const part = (name) => found.querySelector(`[data-${name}]`);
  const language = document.documentElement.lang;
  let chosen = null; // the file, also when it was dropped
  let turn = 0; // an earlier check that ends late shows nothing

  // --- What is shown ---

  function say(id, text) {
    const region = document.getElementById(id);
    const note = document.createElement("p");
    note.className = id === "problem" ? "note warn" : "unseen";
    note.textContent = text;
    region.replaceChildren(...(text ? [note] : []));
  }

  function clear() {
    found.hidden = true;
    say("problem", "");
    say("verdict", "");
  }

  function fact(label, value) {
    const row = document.createElement("div");
    for (const [tag, text] of [
      ["dt", label],
      ["dd", value],
    ]) {
      const node = document.createElement(tag);
      node.textContent = text;
      row.append(node);
    }
    return row;
  }

  const word = (table, value) =>
    Object.hasOwn(words.values[table], String(value)) ? words.values[table][value] : String(value);

  function moment(micros) {
    const text = Receipts.instant(micros);
    if (!text) return micros ?? "";
    const local = new Date(text).toLocaleString(language, { dateStyle: "long", timeStyle: "long" });
    return `${local} (${text})`;
  }

  function who(fields) {
    if (fields.by_operator) return words.values.actor.provider;
    return [word("actor", fields.actor_type), fields.actor_id].filter(Boolean).join(", ");
  }

  function text(receipt, label) {
    return receipt.words[label] ?? (receipt.fields[label] ? words.hidden : "");
  }

  function facts(receipt) {
    const { fields } = receipt;
    const { origin, size } = Receipts.covered(receipt);
    const ofLayer = Boolean(fields.reason_code);
    const values = {
      kind: word("kind", fields.kind),
      recorded_at: moment(fields.recorded_at),
      product: fields.product && word("product", fields.product),
      surface: fields.surface && word("surface", fields.surface),
      before: fields.before && word("changed", fields.before),
      after: fields.after && word("changed", fields.after),
      allowed: ofLayer && word("allowed", fields.allowed),
      reason_code: ofLayer && word("reason_code", fields.reason_code),
      since: fields.since && moment(fields.since),
      organization: fields.organization,
      member: fields.member,
      actor: who(fields),
      source: word("source", fields.source),
      reason: text(receipt, "reason"),
      reference: text(receipt, "reference"),
      wording: fields.wording,
      position: fields.position,
      log: origin,
      size: size.toLocaleString(language),
    };
    return Object.entries(values)
      .filter(([, value]) => value)
      .map(([name, value]) => fact(words.labels[name], value));
  }

  function show(receipt, steps) {
    const holds = Object.values(steps).every(Boolean);
    for (const line of found.querySelectorAll("[data-step]")) {
      line.hidden = (line.dataset.holds === "yes") !== steps[line.dataset.step];
    }
    let verdict = "";
    for (const line of found.querySelectorAll("[data-verdict]")) {
      line.hidden = (line.dataset.verdict === "yes") !== holds;
      if (!line.hidden) verdict = line.textContent;
    }
    part("event").hidden = !holds;
    if (holds) {
      part("facts").replaceChildren(...facts(receipt));
      const fields = Object.entries(receipt.fields).map(([name, value]) => fact(name, String(value ?? "")));
      part("fields").replaceChildren(...fields);
    }
    found.hidden = false;
    say("verdict", verdict);
  }

  // --- What starts a check ---

  async function run() {
    turn += 1;
    const mine = turn;
    clear();
    if (!chosen) return;
    try {
      if (!(await Receipts.supported())) throw new Receipts.Refused("unsupported");
      const receipt = await Receipts.read(await chosen.arrayBuffer());
      const lines = vkey.value.split("\n").filter((line) => line.trim());
      if (!lines.length) throw new Receipts.Refused("missing");
      const keys = await Promise.all(lines.map(Receipts.verifier));
      const steps = await Receipts.check(receipt, keys);
      if (mine === turn) show(receipt, steps);
    } catch (error) {
      const code = error instanceof Receipts.Refused ? error.code : "malformed"; // a file that can't be read, too
      if (mine === turn) say("problem", words.problems[code]);
    }
  }

  function take(files) {
    if (!files.length) return;
    [chosen] = files;
    run();
  }

  document.getElementById("verify").addEventListener("submit", (event) => event.preventDefault());
  file.addEventListener("change", () => take(file.files));
  vkey.addEventListener("input", run);

  // Anywhere on the page: a file that misses the field must not replace the page.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.dataset.over = "";
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) delete drop.dataset.over;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    delete drop.dataset.over;
    take(event.dataTransfer.files);
  });

  // The only request that this page makes, and only when it is asked to: it tells nothing of the receipt.
  document.querySelector("[data-take]").addEventListener("click", async () => {
    try {
      const answer = await fetch(KEYS_OF_THIS_PORTAL, { credentials: "omit", referrerPolicy: "no-referrer" });
      const { verifier_keys: current, ended } = await answer.json();
      vkey.value = [...current, ...ended.flatMap((origin) => origin.verifier_keys)].join("\n");
      run();
    } catch {
      say("problem", words.problems.unreachable);
    }
  });
})();
