// The calls of README and docs/api.md by openapi-fetch, with the types that openapi-typescript has generated.
import assert from "node:assert/strict";

import createClient from "openapi-fetch";

import type { components, paths, webhooks } from "./schema.js";

const [url = "", key = ""] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
const path = { organization: "external:acme-fetch" };

// Whatever was expected, never a problem.
function got<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  assert.ok(answer.response.ok && answer.data !== undefined, JSON.stringify(answer.error));
  return answer.data;
}

async function ask(): Promise<void> {
  const question = { organization: "external:kvasir", member: "external:ada", product: "le_chat" };
  const answer = got(await client.POST("/api/v1/decisions/", { params: { query: { explain: true } }, body: question }));
  const layers: components["schemas"]["DecisionLayer"][] = answer.layers ?? [];
  assert.ok(answer.allowed && answer.reason === "plan_default" && layers.length > 0);
  const items = [question, { organization: "external:nobody", product: "ai_studio" }];
  const many = got(await client.POST("/api/v1/decisions/batch/", { body: { items } }));
  assert.deepEqual(many.decisions.map((each) => each.allowed), [true, false]);
  assert.equal(many.decisions[1]?.reason, "unknown_organization");
}

async function askByAuthZen(): Promise<void> {
  const members = { path: { organization: "external:kvasir" }, query: { limit: 1 } };
  const page = got(await client.GET("/api/v1/organizations/{organization}/members/", { params: members }));
  const subject = { type: "member", id: page.results[0]?.id ?? "" };
  const action = { name: "train" };
  const resource = { type: "product", id: "le_chat" };
  const one = got(await client.POST("/access/v1/evaluation", { body: { subject, action, resource } }));
  assert.equal(typeof one.decision, "boolean");
  const evaluations = [{ resource }, { resource: { type: "product", id: "ai_studio" } }];
  const many = got(await client.POST("/access/v1/evaluations", { body: { subject, action, evaluations } }));
  assert.equal(many.evaluations?.length, 2);
}

async function keepInStep(): Promise<void> {
  const body: components["schemas"]["OrganizationInput"] = {
    name: "Acme", kind: "team", external_id: "acme-fetch", country: "FR", subscriptions: { le_chat: "le_chat_free" },
  };
  const create = () =>
    client.POST("/api/v1/organizations/", { params: { header: { "Idempotency-Key": "crm-4711-fetch" } }, body });
  const [made, again] = [await create(), await create()];
  assert.equal(got(made).id, got(again).id);
  assert.deepEqual([made.response.status, again.response.headers.get("Idempotent-Replayed")], [201, "true"]);
  const moved = got(
    await client.PUT("/api/v1/organizations/{organization}/subscriptions/{product}/", {
      params: { path: { ...path, product: "le_chat" } }, body: { plan: "le_chat_teams" },
    }),
  );
  assert.equal(moved.subscriptions.le_chat, "le_chat_teams");
  const ada = { email: "ada@acme-fetch.example", name: "Ada", role: "admin" as const, external_id: "ada" };
  got(await client.POST("/api/v1/organizations/{organization}/members/", { params: { path }, body: ada }));
}

async function chooseOut(): Promise<void> {
  const setting = "/api/v1/organizations/{organization}/privacy-settings/{surface}/";
  const where = { ...path, surface: "le_chat_console" as const };
  const read = await client.GET(setting, { params: { path: where } });
  const tag = read.response.headers.get("ETag") ?? "";
  const chosen = await client.PUT(setting, {
    params: { path: where, header: { "If-Match": tag } }, body: { choice: "opted_out" },
  });
  assert.equal(got(chosen).effective, "opted_out");
  const back = await client.PUT(setting, { params: { path: where }, body: { choice: "opted_in" } });
  assert.ok(back.error?.code && back.error.errors.every((each) => each.pointer && each.detail));
}

async function changeMany(): Promise<void> {
  const body = { surface: "le_chat_console", choice: "opted_out", select: { plan: ["le_chat_pro"] } } as const;
  const wanted = { ...body, select: { plan: [...body.select.plan] }, dry_run: true };
  const previewed = got(await client.POST("/api/v1/bulk-jobs/", { body: wanted }));
  assert.ok(previewed.summary && previewed.author.label);
  const run = { dry_run: false, digest: previewed.digest };
  const job = got(await client.POST("/api/v1/bulk-jobs/", { body: run }));
  assert.equal(got(await client.GET("/api/v1/bulk-jobs/{job}/", { params: { path: { job: job.id } } })).id, job.id);
}

async function prove(): Promise<void> {
  const page = got(await client.GET("/api/v1/events/", { params: { query: { after: 10, limit: 2 } } }));
  assert.deepEqual(page.results.map((each) => each.position), [11, 12]);
  const family = got(await client.GET("/api/v1/events/", { params: { query: { kind: "access.*", limit: 1 } } }));
  assert.ok(family.results[0]?.kind.startsWith("access."));
  const lines = got(await client.GET("/api/v1/events/stream", { params: { query: { after: 10 } }, parseAs: "text" }));
  assert.ok(lines.split("\n").length > 2);
}

async function beTold(): Promise<void> {
  const body = { url: "https://127.0.0.1:8900/", organization: path.organization };
  const hook = got(await client.POST("/api/v1/webhooks/", { body }));
  assert.ok(hook.secret.startsWith("whsec_"));
  const params = { path: { webhook: hook.id } };
  assert.ok(got(await client.POST("/api/v1/webhooks/{webhook}/test/", { params })).waiting);
  const replay = { params, body: { after: 0 } };
  assert.equal(got(await client.POST("/api/v1/webhooks/{webhook}/replay/", replay)).position, 0);
  assert.equal((await client.DELETE("/api/v1/webhooks/{webhook}/", { params })).response.status, 204);
}

// What a receiver is told: the types say it for each kind of event.
type Body<Kind extends keyof webhooks> = webhooks[Kind] extends {
  post: { requestBody: { content: { "application/json": infer Payload } } };
} ? Payload : never;

function told(event: Body<"choice.opted_out">): string {
  const kind: "choice.opted_out" = event.type;
  return `${kind} by ${event.actor.label}`;
}

async function lookUp(): Promise<void> {
  assert.ok(got(await client.GET("/api/v1/me/")).operator);
  const kinds = got(await client.GET("/api/v1/event-kinds/", { params: { query: { limit: 200 } } }));
  const optedOut = kinds.results.find((each) => each.kind === "choice.opted_out");
  assert.match(told(optedOut?.example as Body<"choice.opted_out">), /^choice.opted_out by ./);
}

for (const call of [ask, askByAuthZen, keepInStep, chooseOut, changeMany, prove, beTold, lookUp]) await call();
console.log("openapi-fetch, with openapi-typescript's types, made the calls of the docs.");
