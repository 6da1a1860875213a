// @ai-sdk/openai-compatible, by chat completions and embeddings.

import assert from "node:assert/strict";
import test from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embed, embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { BASE_URL, RED, freeAfter, untilRunning } from "../surroundings.mjs";

/** A provider whose requests have more fields, the status of each answer it has had, and when it was to come back. */
function provider(more = {}) {
  const seen = [];
  const after = [];
  const counted = async (...asked) => {
    const answer = await fetch(...asked);
    seen.push(answer.status);
    after.push(Number(answer.headers.get("retry-after")));
    return answer;
  };
  const mesh = createOpenAICompatible({
    name: "mesh", baseURL: BASE_URL, includeUsage: true, supportsStructuredOutputs: true, fetch: counted,
    transformRequestBody: (body) => ({ ...body, ...more }),
  });
  return [mesh, seen, after];
}

const [mesh] = provider();
const model = mesh("chat");
const told = (echo) => provider({ echo });
const COUNT = "Count: one two three four five";
const WEATHER = "What is the weather in Paris, and what is it in Oslo?";
const place = z.object({ name: z.string(), degrees: z.number().int(), sky: z.array(z.enum(["clear", "cloudy"])) });
const WANTED = { name: "Paris", degrees: 21, sky: ["clear"] };
const tools = () => {
  const asked = [];
  const weather = tool({
    description: "The weather in a city, now.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => { asked.push(city); return { degrees: 17 }; },
  });
  return [{ weather }, asked];
};

test("a text is generated, with usage and the response's headers", async () => {
  const { text, finishReason, usage, response } = await generateText({ model, prompt: COUNT });
  assert.equal(text, "one two three four five");
  assert.equal(finishReason, "stop");
  assert.equal(usage.outputTokens, 5);
  assert.equal(usage.totalTokens, usage.inputTokens + usage.outputTokens);
  assert.equal(response.modelId, "chat");
  assert.ok(response.headers["x-request-id"]);
  assert.equal(response.headers["x-hybrid-provider"], "vendor");
});

test("a text grows as it is streamed", async () => {
  const result = streamText({ model, prompt: COUNT });
  const lengths = [];
  let text = "";
  for await (const piece of result.textStream) lengths.push((text += piece).length);
  assert.equal(text, "one two three four five");
  assert.ok(lengths.length >= 5);
  assert.equal(await result.finishReason, "stop");
  assert.equal((await result.usage).outputTokens, 5);
});

for (const streamed of [false, true]) {
  test(`a loop of tools goes on to an answer, ${streamed ? "streamed" : "whole"}`, async () => {
    const [offered, asked] = tools();
    const given = { model, tools: offered, prompt: WEATHER, stopWhen: stepCountIs(4) };
    const result = streamed ? streamText(given) : await generateText(given);
    if (streamed) await result.consumeStream();
    assert.equal(await result.text, "It is 17 degrees.");
    const steps = await result.steps;
    assert.deepEqual(steps.map((step) => step.finishReason), ["tool-calls", "stop"]);
    assert.deepEqual(steps[0].toolCalls.map((call) => call.input), [{ city: "Paris" }, { city: "Oslo" }]);
    assert.deepEqual(asked, ["Paris", "Oslo"]);
  });
}

test("an object fits its schema", async () => {
  const { output } = await generateText({ model, prompt: "Hello", output: Output.object({ schema: place }) });
  assert.deepEqual(output, WANTED);
});

test("an object grows as it is streamed", async () => {
  const result = streamText({ model, prompt: "Hello", output: Output.object({ schema: place }) });
  const seen = [];
  for await (const partial of result.partialOutputStream) seen.push(partial);
  assert.deepEqual(seen.at(-1), WANTED);
  assert.ok(seen.length > 1);
  assert.deepEqual(await result.output, WANTED);
});

test("thinking is apart from the answer", async () => {
  const asked = { model, prompt: "What is 17 times 23?", providerOptions: { mesh: { reasoningEffort: "low" } } };
  const whole = await generateText(asked);
  assert.match(whole.reasoningText, /340/);
  assert.equal(whole.text, "391");
  assert.ok(whole.usage.outputTokenDetails.reasoningTokens > 0);
  const kinds = [];
  for await (const part of streamText(asked).fullStream) kinds.push(part.type);
  const order = ["reasoning-start", "reasoning-delta", "reasoning-end", "text-start", "text-delta", "text-end", "finish"];
  assert.deepEqual([...new Set(kinds)].filter((kind) => order.includes(kind)), order);
});

test("a picture is seen", async () => {
  const content = [{ type: "text", text: "Which is it?" }, { type: "image", image: RED }];
  const { text } = await generateText({ model, messages: [{ role: "user", content }] });
  assert.equal(text, "Red");
});

test("one text and several are embedded", async () => {
  const vectors = mesh.embeddingModel("vectors");
  const one = await embed({ model: vectors, value: "a" });
  const several = await embedMany({ model: vectors, values: ["a", "b"] });
  assert.equal(one.embedding.length, 1536);
  assert.deepEqual(several.embeddings[0], one.embedding);
  assert.notDeepEqual(several.embeddings[1], one.embedding);
  assert.equal(several.usage.tokens, 2);
});

test("errors say what happened and whether trying again may help", async () => {
  const cases = { PROVIDER_OVERLOADED: [503, true], INTERNAL: [500, true], SPEC_INVALID: [400, false], MODEL_NOT_FOUND: [404, false] };
  for (const [fail, [status, again]] of Object.entries(cases)) {
    const [failing, seen] = told({ fail });
    const error = await generateText({ model: failing("echo"), prompt: "Hello", maxRetries: 0 }).catch((raised) => raised);
    assert.ok(APICallError.isInstance(error), fail);
    assert.deepEqual([error.statusCode, error.isRetryable], [status, again]);
    assert.ok(error.data.error.code, "its body is read as OpenAI's");
    assert.deepEqual(seen, [status]);
  }
});

test("a limit is waited for", async () => {
  const [limited] = told({ fail: "PROVIDER_RATE_LIMITED", retry_after_ms: 3000 });
  await assert.rejects(generateText({ model: limited("limited"), prompt: "Hello", maxRetries: 0 }), { statusCode: 429 });
  const [patient, seen, after] = provider();
  const begun = Date.now();
  const { text } = await generateText({ model: patient("limited"), prompt: "Hello", maxRetries: 1 });
  assert.equal(text, "Hello");
  assert.deepEqual(seen, [429, 200]);
  // By itself it would have waited for two seconds.
  assert.ok(after[0] >= 1 && Date.now() - begun >= 1000 * after[0]);
});

test("an error in the middle of a stream is a part of it", async () => {
  const [failing] = told({ fail: "ENGINE_FAILED", fail_after_tokens: 2 });
  let text = "";
  const errors = [];
  for await (const part of streamText({ model: failing("echo"), prompt: COUNT, onError: () => {} }).fullStream) {
    if (part.type === "text-delta") text += part.text;
    if (part.type === "error") errors.push(part.error);
  }
  assert.equal(text, "Count: one");
  assert.equal(errors.length, 1);
  assert.match(JSON.stringify(errors[0].message ?? errors[0]), /told to fail/);
});

test("comments on a silent stream are passed over", async () => {
  const [silent] = told({ first_token_ms: 900 });
  assert.equal(await streamText({ model: silent("echo"), prompt: COUNT }).text, COUNT);
});

test("a stream that is aborted frees the worker", async () => {
  const [endless] = told({ tokens: 100_000, token_ms: 10 });
  await freeAfter(async () => {
    const leaving = new AbortController();
    const result = streamText({ model: endless("echo"), prompt: "Hello", abortSignal: leaving.signal });
    const kinds = new Set();
    for await (const part of result.fullStream) {
      kinds.add(part.type);
      if (part.type === "text-delta" && !leaving.signal.aborted) {
        await untilRunning(1);
        leaving.abort();
      }
    }
    assert.ok(kinds.has("abort"));
  });
});
