// Reads receipts and checks what they prove, as consent/proofs/receipt.py does. Sends nothing anywhere.
globalThis.Receipts = (() => {
  "use strict";
  const HEADER = "c2sp.org/tlog-proof@v1";
  const FORMAT = "training-consent-receipt/v1";
  const SCHEMA = "ISO/IEC TS 27560:2023, as mapped by training-consent-receipt/v1";
  const DOMAIN = "training-consent-event/v1\n";
  const WORDS = ["reason", "reference"];
  const LARGEST = 1_000_000;
  const MAX_PROOF = 64;
  const MAX_SIGNATURES = 100;
  const ED25519 = 1;
  const NUMBER = /^(0|[1-9][0-9]{0,15})$/;

  // What is wrong with a file, a key or a step: `code` names the sentence that the page has for it.
  class Refused extends Error {
    constructor(code) {
      super(code);
      this.code = code;
    }
  }
  const require = (condition, code) => {
    if (!condition) throw new Refused(code);
  };

  // --- Bytes ---

  const utf8 = new TextEncoder();
  const bytes = (text) => {
    require(text.isWellFormed(), "malformed");
    return utf8.encode(text);
  };
  const textOf = (data) => {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    } catch {
      throw new Refused("malformed");
    }
  };
  const join = (...parts) => {
    const found = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      found.set(part, at);
      at += part.length;
    }
    return found;
  };
  const same = (one, other) => one.length === other.length && one.every((value, at) => value === other[at]);
  const hex = (data) => [...data].map((value) => value.toString(16).padStart(2, "0")).join("");
  const base64 = (data) => btoa(String.fromCharCode(...data));
  const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));

  // Base64 in its one spelling: most decoders pass over the unused bits of the last character.
  function decode(text, length) {
    require(typeof text === "string" && /^[A-Za-z0-9+/]*={0,2}$/.test(text), "malformed");
    let found;
    try {
      const binary = atob(text);
      found = Uint8Array.from(binary, (each) => each.charCodeAt(0));
      require(btoa(binary) === text, "malformed");
    } catch {
      throw new Refused("malformed");
    }
    require(length === undefined || found.length === length, "malformed");
    return found;
  }

  // --- Canonical JSON ---

  function spelled(value) {
    if (Array.isArray(value)) return `[${value.map(spelled).join(",")}]`;
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    const keys = Object.keys(value).sort();
    return `{${keys.map((key) => `${JSON.stringify(key)}:${spelled(value[key])}`).join(",")}}`;
  }

  // The fields of a text that is canonical: texts, booleans and null under ASCII names.
  function fieldsOf(text) {
    const found = parsed(text);
    require(found !== null && typeof found === "object" && !Array.isArray(found), "malformed");
    for (const [key, value] of Object.entries(found)) {
      require([...key].every((each) => each.codePointAt(0) < 128), "malformed");
      require(value === null || ["string", "boolean"].includes(typeof value), "malformed");
    }
    require(spelled(found) === text, "malformed");
    return found;
  }

  function parsed(text) {
    try {
      return JSON.parse(text);
    } catch {
      throw new Refused("malformed");
    }
  }

  // --- Notes and keys ---

  const controlled = (text) => [...text].some((each) => each < " " && each !== "\n");
  const nameIsOne = (name) => name !== "" && !/[\s+\u0085]/u.test(name) && !controlled(name);
  const keyId = async (name, key) => (await sha256(bytes(`${name}\n`), [ED25519], key)).slice(0, 4);

  async function verifier(text) {
    try {
      const [name, id, ...rest] = text.trim().split("+");
      const data = decode(rest.join("+"), 33);
      require(nameIsOne(name) && data[0] === ED25519, "key");
      const found = { name, key: data.slice(1), id: await keyId(name, data.slice(1)) };
      require(hex(found.id) === id, "key");
      return found;
    } catch {
      throw new Refused("key");
    }
  }

  const vkeyOf = (key) => `${key.name}+${hex(key.id)}+${base64(join([ED25519], key.key))}`;

  function noteOf(note) {
    const at = note.lastIndexOf("\n\n");
    const lines = note.slice(at + 2).split("\n");
    require(at >= 0 && !controlled(note) && lines.pop() === "" && lines.length > 0, "malformed");
    require(lines.length <= MAX_SIGNATURES, "malformed");
    return { text: note.slice(0, at + 1), lines };
  }

  function signatureOf(line) {
    const [dash, name, text, ...rest] = line.split(" ");
    require(dash === "—" && rest.length === 0 && text !== undefined && nameIsOne(name), "malformed");
    const data = decode(text);
    require(data.length > 4, "malformed");
    return { name, id: data.slice(0, 4), signature: data.slice(4) };
  }

  function checkpointOf(text) {
    const lines = text.split("\n");
    require(lines.length === 4 && lines[3] === "" && lines[0] !== "" && NUMBER.test(lines[1]), "malformed");
    return { origin: lines[0], size: BigInt(lines[1]), root: decode(lines[2], 32) };
  }

  const isOf = (signature, key) => signature.name === key.name && same(signature.id, key.id);

  async function checkSignature(receipt, keys) {
    const { text, lines } = noteOf(receipt.checkpoint);
    const { origin } = checkpointOf(text);
    let signed = false;
    for (const each of lines.map(signatureOf)) {
      const key = keys.find((candidate) => isOf(each, candidate));
      if (!key) continue;
      require(each.signature.length === 64, "signature");
      const imported = await crypto.subtle.importKey("raw", key.key, { name: "Ed25519" }, false, ["verify"]);
      require(await crypto.subtle.verify({ name: "Ed25519" }, imported, each.signature, bytes(text)), "signature");
      signed ||= key.name === origin;
    }
    require(signed, "signature");
  }

  // --- The tree (RFC 9162, 2.1.3.2) ---

  const entryOf = (receipt) => sha256(bytes(DOMAIN), receipt.salt, bytes(receipt.body));
  const nodeHash = (left, right) => sha256([1], left, right);

  async function checkInclusion(receipt) {
    const { size, root } = checkpointOf(noteOf(receipt.checkpoint).text);
    let node = BigInt(receipt.index);
    let last = size - 1n;
    require(node >= 0n && node <= last, "inclusion");
    let found = await sha256([0], await entryOf(receipt));
    for (const sibling of receipt.proof) {
      require(last > 0n, "inclusion");
      if (node & 1n || node === last) {
        found = await nodeHash(sibling, found);
        while (!(node & 1n) && node) [node, last] = [node >> 1n, last >> 1n];
      } else {
        found = await nodeHash(found, sibling);
      }
      [node, last] = [node >> 1n, last >> 1n];
    }
    require(last === 0n && same(found, root), "inclusion");
  }

  // --- What the file holds ---

  async function read(data) {
    const text = textOf(data);
    require(text.length <= LARGEST, "malformed");
    return text.startsWith(HEADER) ? ofText(text) : ofJson(text);
  }

  const after = (start, line) => {
    require(line.startsWith(start), "malformed");
    return line.slice(start.length);
  };

  function ofText(text) {
    const at = text.indexOf("\n\n");
    const lines = text.slice(0, at).split("\n");
    require(at > 0 && lines.length >= 3 && lines.length <= 3 + MAX_PROOF && lines[0] === HEADER, "malformed");
    const index = after("index ", lines[2]);
    require(NUMBER.test(index), "malformed");
    const { body, salt, words_salt: wordsSalt = null, ...words } = fieldsOf(textOf(decode(after("extra ", lines[1]))));
    const proof = lines.slice(3);
    return receiptOf({ body, salt, wordsSalt, words, index: Number(index), proof, checkpoint: text.slice(at + 2) });
  }

  function receiptOf({ body, salt, wordsSalt, words, index, proof, checkpoint }) {
    require(typeof body === "string" && typeof checkpoint === "string" && Number.isSafeInteger(index), "malformed");
    require(Array.isArray(proof) && proof.length <= MAX_PROOF, "malformed");
    require(words !== null && typeof words === "object" && !Array.isArray(words), "malformed");
    require(Object.entries(words).every(([key, text]) => WORDS.includes(key) && typeof text === "string"), "malformed");
    require(wordsSalt !== null || Object.keys(words).length === 0, "malformed");
    return {
      body,
      fields: fieldsOf(body),
      salt: decode(salt, 32),
      wordsSalt: wordsSalt === null ? null : decode(wordsSalt, 32),
      words,
      index,
      proof: proof.map((each) => decode(each, 32)),
      checkpoint,
      contradicts: false,
    };
  }

  async function ofJson(text) {
    const given = parsed(text);
    require(given?.format === FORMAT, "malformed");
    const { body, salt, words_salt: wordsSalt, words, index, proof, checkpoint } = given;
    const found = receiptOf({ body, salt, wordsSalt, words, index, proof, checkpoint });
    const key = await verifier(String(given.verifier_key));
    const signer = noteOf(checkpoint).lines.some((line) => isOf(signatureOf(line), key));
    found.contradicts = !signer || spelled(await jsonOf(found, key)) !== spelled(given);
    return found;
  }

  async function jsonOf(receipt, key) {
    return {
      format: FORMAT,
      event: receipt.fields,
      words: receipt.words,
      body: receipt.body,
      salt: base64(receipt.salt),
      words_salt: receipt.wordsSalt && base64(receipt.wordsSalt),
      entry: base64(await entryOf(receipt)),
      index: receipt.index,
      proof: receipt.proof.map(base64),
      checkpoint: receipt.checkpoint,
      verifier_key: vkeyOf(key),
      consent_record: recordOf(receipt.fields, key.name),
    };
  }

  function recordOf(fields, controller) {
    const value = (name) => fields[name] ?? null;
    const filled = (name) => fields[name] || null;
    if (!fields.product) return null;
    return {
      schema_version: SCHEMA,
      record_id: value("id"),
      pii_principal_id: fields.member || value("organization"),
      pii_processing: {
        privacy_notice: filled("wording"),
        purposes: [
          {
            purpose: "training of machine learning models",
            service: fields.product,
            collection_method: filled("surface"),
          },
        ],
      },
      party_identification: [{ party_id: controller, party_role: "pii_controller" }],
      event: {
        event_type: value("kind"),
        event_time: instant(fields.recorded_at),
        event_state: fields.allowed === true ? "given" : "not_given",
        valid_since: instant(fields.since),
        entity_id: fields.by_operator ? null : filled("actor_id"),
      },
    };
  }

  // An instant from microseconds since 1970, like 2026-11-20T09:30:00.000001Z.
  function instant(micros) {
    if (typeof micros !== "string" || !/^[0-9]{1,17}$/.test(micros)) return null;
    const all = BigInt(micros);
    const rest = String(all % 1_000_000n).padStart(6, "0");
    return new Date(Number(all / 1_000_000n) * 1000).toISOString().replace(/\.000Z$/, `.${rest}Z`);
  }

  // --- The steps ---

  function checkPlace(receipt) {
    require(!receipt.contradicts && receipt.fields.position === String(receipt.index + 1), "place");
  }

  async function checkWords(receipt) {
    if (receipt.wordsSalt === null) return;
    for (const label of WORDS) {
      const text = Object.hasOwn(receipt.words, label) ? receipt.words[label] : null;
      const digest = receipt.fields[label] || null;
      const found = text && hex(await sha256(receipt.wordsSalt, bytes(`${label}\0${text}`)));
      require(found === digest, "words");
    }
  }

  const STEPS = { place: checkPlace, words: checkWords, signature: checkSignature, inclusion: checkInclusion };

  // Each step by its name, with whether it holds. The receipt holds if all do.
  async function check(receipt, keys) {
    const found = {};
    for (const [name, step] of Object.entries(STEPS)) {
      try {
        await step(receipt, keys);
        found[name] = true;
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        found[name] = false;
      }
    }
    return found;
  }

  // Whether this browser can check signatures; it gives pages that did not come by HTTPS no cryptography.
  async function supported() {
    try {
      const key = decode("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
      await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
      return true;
    } catch {
      return false;
    }
  }

  const covered = (receipt) => checkpointOf(noteOf(receipt.checkpoint).text);

  return { Refused, check, covered, instant, read, supported, verifier };
})();
