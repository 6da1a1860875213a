// Completions of prompts.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { BASE_URL, freeAfter } from "../surroundings.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: "none", maxRetries: 0 });

test("several prompts are completed, each within its limit", async () => {
  const whole = await client.completions.create({ model: "echo", prompt: ["one two three", "four"], max_tokens: 2 });
  assert.equal(whole.object, "text_completion");
  assert.deepEqual(whole.choices.map((one) => [one.index, one.text, one.finish_reason]), [[0, "one two", "length"], [1, "four", "stop"]]);
  assert.equal(whole.usage.completion_tokens, 3);
});

test("a prompt of tokens is one", async () => {
  const whole = await client.completions.create({ model: "echo", prompt: [1, 2, 3] });
  assert.equal(whole.choices[0].text, "1 2 3");
});

test("log probabilities come in the older shape, and a stop text ends it", async () => {
  const asked = { model: "prompts", prompt: "Count: one two three", stop: " three", logprobs: 2, n: 2 };
  const whole = await client.completions.create(asked);
  for (const one of whole.choices) {
    assert.deepEqual([one.text, one.finish_reason], ["one two", "stop"]);
    assert.deepEqual(one.logprobs.tokens, ["one", " two"]);
    assert.deepEqual(one.logprobs.top_logprobs.map((top) => Object.keys(top).length), [2, 2]);
  }
});

test("a completion is streamed", async () => {
  const stream = await client.completions.create({
    model: "echo", prompt: "one two three", stream: true, stream_options: { include_usage: true },
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.equal(chunks.flatMap((chunk) => chunk.choices).map((one) => one.text).join(""), "one two three");
  assert.deepEqual(chunks.filter((chunk) => chunk.usage).map((chunk) => chunk.usage.completion_tokens), [3]);
});

test("an error is of its class, and one in the middle of a stream is raised", async () => {
  const prompted = { model: "echo", prompt: "one two three" };
  await assert.rejects(client.completions.create({ ...prompted, model: "nobody" }), OpenAI.NotFoundError);
  await assert.rejects(client.completions.create({ ...prompted, max_tokens: "a" }), { status: 400, param: "max_tokens" });
  const failing = { ...prompted, echo: { fail: "ENGINE_FAILED", fail_after_tokens: 2 }, stream: true };
  const stream = await client.completions.create(failing);
  let said = "";
  await assert.rejects(
    async () => { for await (const chunk of stream) said += chunk.choices[0].text; },
    { code: "engine_error" },
  );
  assert.equal(said, "one two");
});

test("a stream that is left frees the worker", async () => {
  const endless = { model: "echo", prompt: "one", max_tokens: 100_000, echo: { tokens: 100_000, token_ms: 10 } };
  await freeAfter(async () => {
    for await (const chunk of await client.completions.create({ ...endless, stream: true })) {
      assert.ok(chunk.id);
      break;
    }
  });
});
