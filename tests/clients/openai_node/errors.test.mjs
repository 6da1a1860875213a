// Errors, each of its class, and how the client tries again.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { BASE_URL, COUNT, HELLO, told } from "../surroundings.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: "none", maxRetries: 0 });

/** A client that tries twice more, as it does by default, and the answers it has had. */
function counting(options = {}) {
  const seen = [];
  const counted = async (...asked) => {
    const answer = await fetch(...asked);
    seen.push({ status: answer.status, after: answer.headers.get("retry-after"), again: answer.headers.get("x-should-retry") });
    return answer;
  };
  return [new OpenAI({ baseURL: BASE_URL, apiKey: "none", fetch: counted, ...options }), seen];
}

const CLASSES = {
  SPEC_INVALID: [400, OpenAI.BadRequestError, "invalid_request"],
  CONTEXT_TOO_LONG: [400, OpenAI.BadRequestError, "context_length_exceeded"],
  CREDENTIAL_INVALID: [401, OpenAI.AuthenticationError, "invalid_api_key"],
  PERMISSION_DENIED: [403, OpenAI.PermissionDeniedError, "permission_denied"],
  MODEL_NOT_FOUND: [404, OpenAI.NotFoundError, "model_not_found"],
  REQUEST_TOO_LARGE: [413, OpenAI.APIError, "request_too_large"],
  QUOTA_EXHAUSTED: [429, OpenAI.RateLimitError, "insufficient_quota"],
  INTERNAL: [500, OpenAI.InternalServerError, "internal_error"],
  PROVIDER_MALFORMED: [502, OpenAI.InternalServerError, "provider_malformed"],
  PROVIDER_OVERLOADED: [503, OpenAI.InternalServerError, "server_is_overloaded"],
  DEADLINE_EXCEEDED: [504, OpenAI.InternalServerError, "timeout"],
};

for (const [reason, [status, kind, code]] of Object.entries(CLASSES)) {
  test(`${reason} is ${status}`, async () => {
    const error = await client.chat.completions.create(told({ fail: reason })).catch((raised) => raised);
    assert.equal(error.constructor, kind);
    assert.deepEqual([error.status, error.code], [status, code]);
    assert.ok(error.type);
    assert.equal(error.requestID, error.headers.get("x-request-id"));
    assert.ok(error.requestID);
  });
}

test("a mistake is named as the caller wrote it", async () => {
  const messages = [{ role: "user", content: [{}] }];
  await assert.rejects(client.chat.completions.create({ model: "chat", messages }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.param, error.type], ["messages[0].content[0].type", "invalid_request_error"]);
    return true;
  });
  await assert.rejects(client.chat.completions.create({ model: "nobody", messages: HELLO }), { code: "model_not_found" });
  await assert.rejects(client.moderations.create({ input: "a" }), OpenAI.NotFoundError);
});

test("an error in the middle of a stream is raised after what came before", async () => {
  let said = "";
  const stream = await client.chat.completions.create(
    told({ fail: "ENGINE_FAILED", fail_after_tokens: 2 }, { messages: COUNT, stream: true }),
  );
  await assert.rejects(
    async () => { for await (const chunk of stream) said += chunk.choices[0].delta.content ?? ""; },
    (error) => error instanceof OpenAI.APIError && error.code === "engine_error" && error.type === "server_error",
  );
  assert.equal(said, "Count: one");
});

test("the stream helper raises it, too", async () => {
  const failing = told({ fail: "ENGINE_FAILED", fail_after_tokens: 2 }, { messages: COUNT });
  await assert.rejects(client.chat.completions.stream(failing).finalChatCompletion(), { code: "engine_error" });
});

test("it waits for a limit as told, then succeeds", async () => {
  const [patient, seen] = counting();
  const limited = told({ fail: "PROVIDER_RATE_LIMITED", retry_after_ms: 3000 }, { model: "limited" });
  await assert.rejects(client.chat.completions.create(limited), OpenAI.RateLimitError);
  const begun = Date.now();
  const answer = await patient.chat.completions.create({ model: "limited", messages: HELLO });
  const waited = Date.now() - begun;
  assert.equal(answer.choices[0].message.content, "Hello");
  assert.deepEqual(seen.map((one) => one.status), [429, 200]);
  // By itself it would have waited half a second.
  assert.ok(seen[0].after >= 1 && waited >= 1000 * seen[0].after, `${waited} ms, told ${seen[0].after} s`);
});

test("it gives up in the end", async () => {
  const [impatient, seen] = counting({ maxRetries: 1 });
  await assert.rejects(impatient.chat.completions.create(told({ fail: "PROVIDER_OVERLOADED" })), OpenAI.InternalServerError);
  assert.deepEqual(seen.map((one) => [one.status, one.after]), [[503, "1"], [503, "1"]]);
});

test("what it should not try again it does not", async () => {
  const [obedient, seen] = counting();
  await assert.rejects(obedient.chat.completions.create(told({ fail: "QUOTA_EXHAUSTED" })), OpenAI.RateLimitError);
  assert.deepEqual(seen.map((one) => one.again), ["false"]);
});
