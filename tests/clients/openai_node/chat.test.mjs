// Answers, whole and streamed; models and vectors.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { BASE_URL, COUNT, HELLO, RED, freeAfter, told, untilRunning } from "../surroundings.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: "none", maxRetries: 0 });

test("an answer is whole", async () => {
  const answer = await client.chat.completions.create({ model: "chat", messages: HELLO });
  assert.equal(answer.choices[0].message.content, "Hello there, how are you?");
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.ok(Number.isInteger(answer.created));
  assert.ok(answer._request_id);
});

test("a stream is iterated, its usage comes once, and only where it is asked for", async () => {
  for (const asked of [true, false]) {
    const stream = await client.chat.completions.create({
      model: "chat", messages: COUNT, stream: true, ...(asked && { stream_options: { include_usage: true } }),
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    assert.equal(chunks.map((one) => one.choices[0]?.delta.content ?? "").join(""), "one two three four five");
    const reasons = chunks.filter((one) => one.choices.length).map((one) => one.choices[0].finish_reason);
    assert.equal(reasons.pop(), "stop");
    assert.ok(reasons.every((reason) => reason === null));
    assert.equal(chunks.filter((one) => one.usage).length, asked ? 1 : 0);
    assert.equal(new Set(chunks.map((one) => one.id)).size, 1);
  }
});

test("the stream helper has events and the whole", async () => {
  const pieces = [];
  const stream = client.chat.completions.stream({ model: "chat", messages: COUNT, stream_options: { include_usage: true } });
  stream.on("content", (piece) => pieces.push(piece));
  const whole = await stream.finalChatCompletion();
  assert.ok(pieces.length >= 5);
  assert.equal(pieces.join(""), "one two three four five");
  assert.equal(whole.choices[0].message.content, "one two three four five");
  assert.equal((await stream.totalUsage()).completion_tokens, 5);
  assert.equal(await stream.finalContent(), "one two three four five");
});

test("a stream's bytes end with done", async () => {
  const response = await client.chat.completions.create({ model: "chat", messages: HELLO, stream: true }).asResponse();
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  assert.ok((await response.text()).endsWith("data: [DONE]\n\n"));
});

test("a response by itself and with its data has headers", async () => {
  const { data, response, request_id } = await client.chat.completions.create({ model: "chat", messages: HELLO }).withResponse();
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.equal(response.headers.get("x-request-id"), request_id);
  assert.equal(response.headers.get("x-hybrid-provider"), "vendor");
  assert.match(response.headers.get("openai-processing-ms"), /^\d+$/);
  assert.ok(data.choices[0].message.content);
});

test("a stream that is aborted in the middle frees the worker", async () => {
  let chunks;
  await freeAfter(async () => {
    const stream = await client.chat.completions.create(told({ tokens: 100_000, token_ms: 10 }, { stream: true }));
    chunks = stream[Symbol.asyncIterator]();
    assert.ok((await chunks.next()).value.id);
    await untilRunning(1);
    stream.controller.abort();
  });
  // What it had received may still come; then it ends, and does not hang.
  while (!(await chunks.next()).done);
});

test("a loop that is left frees the worker", async () => {
  await freeAfter(async () => {
    const stream = await client.chat.completions.create(told({ tokens: 100_000, token_ms: 10 }, { stream: true }));
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      break;
    }
  });
});

test("an answer that is given up before it is there frees the worker", async () => {
  await freeAfter(async () => {
    const leaving = new AbortController();
    const asking = client.chat.completions.create(told({ hang_after_tokens: 0 }), { signal: leaving.signal });
    await untilRunning(1);
    leaving.abort();
    await assert.rejects(asking, OpenAI.APIUserAbortError);
  });
});

test("a client's time is up, and the worker is free", async () => {
  await freeAfter(() => assert.rejects(
    client.chat.completions.create(told({ hang_after_tokens: 0 }), { timeout: 300 }),
    OpenAI.APIConnectionTimeoutError,
  ));
});

test("a picture is seen", async () => {
  const content = [{ type: "text", text: "Which is it?" }, { type: "image_url", image_url: { url: RED } }];
  const answer = await client.chat.completions.create({ model: "chat", messages: [{ role: "user", content }] });
  assert.equal(answer.choices[0].message.content, "Red");
});

test("several choices stream side by side, with their log probabilities", async () => {
  const stream = client.chat.completions.stream({ model: "chat", messages: COUNT, n: 2, logprobs: true, top_logprobs: 2 });
  let told = 0;
  stream.on("logprobs.content.delta", () => (told += 1));
  const whole = await stream.finalChatCompletion();
  assert.deepEqual(whole.choices.map((one) => one.message.content), Array(2).fill("one two three four five"));
  assert.deepEqual(whole.choices.map((one) => one.logprobs.content.length), [5, 5]);
  assert.ok(told >= 10);
});

test("thinking, log probabilities and several choices arrive", async () => {
  const answer = await client.chat.completions.create({
    model: "chat", messages: [{ role: "user", content: "What is 17 times 23?" }],
    reasoning_effort: "low", logprobs: true, top_logprobs: 2, n: 2,
  });
  assert.equal(answer.choices.length, 2);
  for (const choice of answer.choices) {
    assert.match(choice.message.reasoning_content, /340/);
    assert.equal(choice.message.content, "391");
    assert.equal(choice.logprobs.content[0].top_logprobs.length, 2);
  }
  assert.ok(answer.usage.completion_tokens_details.reasoning_tokens > 0);
});

test("models are listed and found, also by names with slashes", async () => {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert.ok(listed.includes("org/other:chat"));
  const found = await client.models.retrieve("org/other:chat");
  assert.deepEqual([found.id, found.object], ["org/other:chat", "model"]);
  await assert.rejects(client.models.retrieve("no/body"), OpenAI.NotFoundError);
});

test("vectors come by default and as floats, of texts and of tokens", async () => {
  const byDefault = await client.embeddings.create({ model: "vectors", input: ["a", "b"] });
  const floats = await client.embeddings.create({ model: "vectors", input: ["a", "b"], encoding_format: "float" });
  assert.equal(byDefault.data.length, 2);
  for (const [at, one] of byDefault.data.entries()) {
    assert.equal(one.embedding.length, 1536);
    one.embedding.forEach((value, n) => assert.ok(Math.abs(value - floats.data[at].embedding[n]) < 1e-6));
  }
  const tokens = await client.embeddings.create({ model: "vectors", input: [[1, 2], [3]], dimensions: 4 });
  assert.deepEqual(tokens.data.map((one) => one.embedding.length), [4, 4]);
});
