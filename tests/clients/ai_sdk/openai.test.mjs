// @ai-sdk/openai: its default, which is the Responses API, its chat, and its completions.

import assert from "node:assert/strict";
import test from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { BASE_URL, PAGE, RED } from "../surroundings.mjs";

const openai = createOpenAI({ baseURL: BASE_URL, apiKey: "none" });
const COUNT = "Count: one two three four five";
const WEATHER = "What is the weather in Paris, and what is it in Oslo?";
const place = z.object({ name: z.string(), degrees: z.number().int(), sky: z.array(z.enum(["clear", "cloudy"])) });
const WANTED = { name: "Paris", degrees: 21, sky: ["clear"] };
// Otherwise the SDK refers to answers that it takes for stored, instead of bringing them.
const providerOptions = { openai: { store: false } };
const WAYS = { responses: openai("chat"), chat: openai.chat("chat") };
const weather = tool({
  description: "The weather in a city, now.",
  inputSchema: z.object({ city: z.string() }),
  execute: async () => ({ degrees: 17 }),
});

for (const [way, model] of Object.entries(WAYS)) {
  test(`${way}: a text, whole and growing`, async () => {
    const whole = await generateText({ model, prompt: COUNT });
    assert.equal(whole.text, "one two three four five");
    assert.equal(whole.finishReason, "stop");
    assert.equal(whole.usage.outputTokens, 5);
    const result = streamText({ model, prompt: COUNT });
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    assert.equal(pieces.join(""), whole.text);
    assert.ok(pieces.length >= 5);
    assert.equal((await result.usage).outputTokens, 5);
  });

  for (const streamed of [false, true]) {
    test(`${way}: a loop of tools goes on to an answer, ${streamed ? "streamed" : "whole"}`, async () => {
      const asked = { model, tools: { weather }, prompt: WEATHER, stopWhen: stepCountIs(4) };
      const result = streamed ? streamText(asked) : await generateText(asked);
      if (streamed) await result.consumeStream();
      assert.equal(await result.text, "It is 17 degrees.");
      const steps = await result.steps;
      assert.deepEqual(steps.map((step) => step.finishReason), ["tool-calls", "stop"]);
      assert.deepEqual(steps[0].toolCalls.map((call) => call.input), [{ city: "Paris" }, { city: "Oslo" }]);
    });
  }

  test(`${way}: an object, whole and growing`, async () => {
    const asked = { model, prompt: "Hello", output: Output.object({ schema: place }) };
    assert.deepEqual((await generateText(asked)).output, WANTED);
    const seen = [];
    for await (const partial of streamText(asked).partialOutputStream) seen.push(partial);
    assert.deepEqual(seen.at(-1), WANTED);
    assert.ok(seen.length > 1);
  });

  test(`${way}: a picture is seen`, async () => {
    const content = [{ type: "text", text: "Which is it?" }, { type: "image", image: RED }];
    assert.equal((await generateText({ model, messages: [{ role: "user", content }] })).text, "Red");
  });

  test(`${way}: a document is read`, async () => {
    const file = { type: "file", data: PAGE, mediaType: "application/pdf", filename: "a.pdf" };
    const content = [{ type: "text", text: "What does it say?" }, file];
    assert.equal((await generateText({ model, messages: [{ role: "user", content }] })).text, "A page.");
  });

  test(`${way}: a list and a choice`, async () => {
    const list = await generateText({ model, prompt: "Hello", output: Output.array({ element: place }) });
    assert.deepEqual(list.output, [WANTED]);
    const choice = await generateText({ model, prompt: "Hello", output: Output.choice({ options: ["yes", "no"] }) });
    assert.equal(choice.output, "yes");
  });

  test(`${way}: a mistake is told`, async () => {
    const nobody = way === "chat" ? openai.chat("nobody") : openai("nobody");
    const error = await generateText({ model: nobody, prompt: "Hello", maxRetries: 0 }).catch((raised) => raised);
    assert.ok(APICallError.isInstance(error));
    assert.deepEqual([error.statusCode, error.isRetryable, error.data.error.code], [404, false, "model_not_found"]);
  });
}

test("responses: thinking is apart from the answer", async () => {
  // The SDK asks for effort only of models that it knows to think, or is told so of.
  const options = { openai: { ...providerOptions.openai, reasoningEffort: "low", forceReasoning: true } };
  const asked = { model: WAYS.responses, prompt: "What is 17 times 23?", providerOptions: options };
  const whole = await generateText(asked);
  assert.equal(whole.text, "391");
  assert.ok(whole.usage.outputTokenDetails.reasoningTokens > 0);
  const kinds = new Set();
  for await (const part of streamText(asked).fullStream) kinds.add(part.type);
  for (const kind of ["reasoning-start", "reasoning-end", "text-delta"]) assert.ok(kinds.has(kind), kind);
});

test("responses: a turn that refers to what is stored is told to bring it, and may", async () => {
  const messages = [{ role: "user", content: COUNT }];
  const first = await generateText({ model: WAYS.responses, messages });
  messages.push(...first.response.messages, { role: "user", content: "Repeat your answer." });
  const error = await generateText({ model: WAYS.responses, messages, maxRetries: 0 }).catch((raised) => raised);
  assert.ok(APICallError.isInstance(error));
  assert.equal(error.statusCode, 400);
  assert.match(error.message, /nothing is stored.*`store`/);
  assert.equal((await generateText({ model: WAYS.responses, messages, providerOptions })).text, "five");
});

test("a prompt is completed, whole and growing", async () => {
  const asked = { model: openai.completion("prompts"), prompt: COUNT };
  const whole = await generateText(asked);
  assert.equal(whole.text, "one two three four five");
  assert.equal(whole.usage.outputTokens, 5);
  const result = streamText(asked);
  const pieces = [];
  for await (const piece of result.textStream) pieces.push(piece);
  assert.equal(pieces.join(""), whole.text);
  assert.ok(pieces.length >= 5);
});

test("several texts are embedded", async () => {
  const { embeddings } = await embedMany({ model: openai.embedding("vectors"), values: ["a", "b"] });
  assert.deepEqual(embeddings.map((one) => one.length), [1536, 1536]);
});
