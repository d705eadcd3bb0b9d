// The calls of README and docs/api.md by the client that @hey-api/openapi-ts has generated.
import assert from "node:assert/strict";

import { client } from "./hey/client.gen.js";
import * as portal from "./hey/sdk.gen.js";
import type { OrganizationInput, Question } from "./hey/types.gen.js";

const [url = "", key = ""] = process.argv.slice(2);
client.setConfig({ baseUrl: url, auth: key });
const path = { organization: "external:acme-hey" };

// Whatever was expected, never a problem.
function got<T>(answer: { data?: T; error?: unknown; response?: Response }): T {
  assert.ok(answer.response?.ok && answer.data !== undefined, JSON.stringify(answer.error));
  return answer.data;
}

async function ask(): Promise<void> {
  const question: Question = { organization: "external:kvasir", member: "external:ada", product: "le_chat" };
  const answer = got(await portal.decide({ body: question, query: { explain: true } }));
  assert.ok(answer.allowed && answer.reason === "plan_default" && answer.layers?.[0]?.layer === "organization");
  const items = [question, { organization: "external:nobody", product: "ai_studio" }];
  const many = got(await portal.decideMany({ body: { items } }));
  assert.deepEqual(many.decisions.map((each) => each.reason), ["plan_default", "unknown_organization"]);
}

async function askByAuthZen(): Promise<void> {
  const page = got(await portal.listMembers({ path: { organization: "external:kvasir" }, query: { limit: 1 } }));
  const subject = { type: "member", id: page.results[0]?.id ?? "" };
  const action = { name: "train" };
  const resource = { type: "product", id: "le_chat" };
  assert.equal(typeof got(await portal.evaluate({ body: { subject, action, resource } })).decision, "boolean");
  const evaluations = [{ resource }, { resource: { type: "product", id: "ai_studio" } }];
  assert.equal(got(await portal.evaluateMany({ body: { subject, action, evaluations } })).evaluations?.length, 2);
}

async function keepInStep(): Promise<void> {
  const body: OrganizationInput = {
    name: "Acme", kind: "team", external_id: "acme-hey", country: "FR", subscriptions: { le_chat: "le_chat_free" },
  };
  const create = () => portal.createOrganization({ body, headers: { "Idempotency-Key": "crm-4711-hey" } });
  const [made, again] = [await create(), await create()];
  assert.equal(got(made).id, got(again).id);
  assert.equal(again.response?.headers.get("Idempotent-Replayed"), "true");
  const moved = got(
    await portal.subscribe({ path: { ...path, product: "le_chat" }, body: { plan: "le_chat_teams" } }),
  );
  assert.equal(moved.subscriptions.le_chat, "le_chat_teams");
  const ada = { email: "ada@acme-hey.example", name: "Ada", role: "admin" as const, external_id: "ada" };
  got(await portal.addMember({ path, body: ada }));
}

async function chooseOut(): Promise<void> {
  const where = { ...path, surface: "le_chat_console" as const };
  const tag = (await portal.getSetting({ path: where })).response?.headers.get("ETag") ?? "";
  const chosen = await portal.choose({ path: where, headers: { "If-Match": tag }, body: { choice: "opted_out" } });
  assert.equal(got(chosen).effective, "opted_out");
  const back = await portal.choose({ path: where, body: { choice: "opted_in" } });
  assert.ok(back.error?.code);
}

async function changeMany(): Promise<void> {
  const previewed = got(
    await portal.createBulkJob({
      body: { surface: "le_chat_console", choice: "opted_out", select: { plan: ["le_chat_pro"] }, dry_run: true },
    }),
  );
  const job = got(await portal.createBulkJob({ body: { dry_run: false, digest: previewed.digest } }));
  assert.equal(got(await portal.getBulkJob({ path: { job: job.id } })).id, job.id);
}

async function prove(): Promise<void> {
  const page = got(await portal.listEvents({ query: { after: 10, limit: 2 } }));
  assert.deepEqual(page.results.map((each) => Number(each.position)), [11, 12]);
  const lines = got(await portal.streamEvents({ query: { after: 10 }, parseAs: "text" }));
  assert.ok(lines.split("\n").length > 2);
}

async function beTold(): Promise<void> {
  const hook = got(await portal.createWebhook({ body: { url: "https://127.0.0.1:8900/", organization: path.organization } }));
  assert.ok(hook.secret.startsWith("whsec_"));
  const which = { path: { webhook: hook.id } };
  assert.ok(got(await portal.testWebhook(which)).waiting);
  assert.equal(Number(got(await portal.replayWebhook({ ...which, body: { after: 0 } })).position), 0);
  assert.equal((await portal.deleteWebhook(which)).response?.status, 204);
}

async function lookUp(): Promise<void> {
  assert.ok(got(await portal.whoAmI()).operator);
}

for (const call of [ask, askByAuthZen, keepInStep, chooseOut, changeMany, prove, beTold, lookUp]) await call();
console.log("@hey-api/openapi-ts's client made the calls of the docs.");
