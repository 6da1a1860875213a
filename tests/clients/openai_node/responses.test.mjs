// The Responses API, whole and streamed.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { BASE_URL, PAGE, RED, freeAfter } from "../surroundings.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: "none", maxRetries: 0 });
const COUNT = "Count: one two three four five";
const WEATHER = "What is the weather in Paris, and what is it in Oslo?";
const weather = zodResponsesFunction({ name: "get_weather", parameters: z.object({ city: z.string() }) });
const Place = z.object({ name: z.string(), degrees: z.number().int() });

test("a response is whole", async () => {
  const response = await client.responses.create({ model: "chat", input: COUNT, instructions: "Be brief." });
  assert.equal(response.output_text, "one two three four five");
  assert.deepEqual([response.object, response.status, response.store], ["response", "completed", false]);
  assert.equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens);
});

test("events of a stream come in their order, numbered", async () => {
  const stream = await client.responses.create({ model: "chat", input: COUNT, stream: true });
  const events = [];
  for await (const event of stream) events.push(event);
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, number) => number));
  assert.deepEqual([...new Set(events.map((event) => event.type))], [
    "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    "response.output_text.delta", "response.output_text.done", "response.content_part.done",
    "response.output_item.done", "response.completed",
  ]);
  const said = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
  assert.ok(said.length >= 5);
  assert.equal(said.join(""), "one two three four five");
});

test("the stream helper has the whole", async () => {
  const stream = client.responses.stream({ model: "chat", input: COUNT });
  const pieces = [];
  stream.on("response.output_text.delta", (event) => pieces.push(event.delta));
  const whole = await stream.finalResponse();
  assert.equal(whole.output_text, "one two three four five");
  assert.equal(pieces.join(""), whole.output_text);
});

test("calls of tools are answered in the next turn", async () => {
  const input = [{ role: "user", content: WEATHER }];
  const first = await client.responses.parse({ model: "chat", input, tools: [weather] });
  const calls = first.output.filter((item) => item.type === "function_call");
  assert.deepEqual(calls.map((call) => call.parsed_arguments), [{ city: "Paris" }, { city: "Oslo" }]);
  input.push(...first.output.map(({ parsed_arguments, ...item }) => item));
  for (const { call_id } of calls) input.push({ type: "function_call_output", call_id, output: '{"degrees": 17}' });
  const second = await client.responses.create({ model: "chat", input, tools: [weather] });
  assert.equal(second.output_text, "It is 17 degrees.");
});

test("calls of tools are streamed, each as an item of its own", async () => {
  const stream = await client.responses.create({ model: "chat", input: WEATHER, tools: [weather], stream: true });
  const said = {};
  const done = {};
  for await (const event of stream) {
    if (event.type === "response.function_call_arguments.delta") said[event.output_index] = (said[event.output_index] ?? "") + event.delta;
    if (event.type === "response.function_call_arguments.done") done[event.output_index] = event.arguments;
  }
  assert.deepEqual(said, done);
  assert.deepEqual(Object.values(done).map((one) => JSON.parse(one)), [{ city: "Paris" }, { city: "Oslo" }]);
});

test("an object of zod is parsed, whole and out of a stream", async () => {
  const asked = { model: "chat", input: "Hello", text: { format: zodTextFormat(Place, "place") } };
  const wanted = { name: "Paris", degrees: 21 };
  assert.deepEqual((await client.responses.parse(asked)).output_parsed, wanted);
  assert.deepEqual((await client.responses.stream(asked).finalResponse()).output_parsed, wanted);
});

test("thinking is an item before the answer", async () => {
  const asked = { model: "chat", input: "What is 17 times 23?", reasoning: { effort: "low" } };
  const response = await client.responses.create(asked);
  assert.deepEqual(response.output.map((item) => item.type), ["reasoning", "message"]);
  assert.equal(response.output_text, "391");
  assert.ok(response.usage.output_tokens_details.reasoning_tokens > 0);
});

test("a picture is seen", async () => {
  const content = [{ type: "input_text", text: "Which is it?" }, { type: "input_image", image_url: RED, detail: "auto" }];
  const response = await client.responses.create({ model: "chat", input: [{ role: "user", content }] });
  assert.equal(response.output_text, "Red");
});

test("a document is read", async () => {
  const file_data = `data:application/pdf;base64,${PAGE.toString("base64")}`;
  const content = [{ type: "input_text", text: "What does it say?" }, { type: "input_file", filename: "a.pdf", file_data }];
  const response = await client.responses.create({ model: "chat", input: [{ role: "user", content }] });
  assert.equal(response.output_text, "A page.");
});

test("errors before and in a stream are of their class", async () => {
  const failing = (fail) => ({ model: "echo", input: "Hello", echo: { fail } });
  await assert.rejects(client.responses.create(failing("MODEL_NOT_FOUND")), OpenAI.NotFoundError);
  await assert.rejects(client.responses.create({ ...failing("INTERNAL"), stream: true }), OpenAI.InternalServerError);
  await assert.rejects(client.responses.create({ model: "chat", input: "Hello", tools: [{ type: "web_search" }] }), {
    status: 400, param: "tools[0].type",
  });
});

test("an answer that is cut by its limit is incomplete", async () => {
  const response = await client.responses.create({ model: "chat", input: COUNT, max_output_tokens: 2 });
  assert.deepEqual([response.status, response.incomplete_details.reason], ["incomplete", "max_output_tokens"]);
  assert.equal(response.output_text, "one two");
});

test("what needs stored answers is refused by name", async () => {
  const asked = { model: "chat", input: "Hello", previous_response_id: "resp_1" };
  await assert.rejects(client.responses.create(asked), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "previous_response_id");
    return true;
  });
  await assert.rejects(client.responses.retrieve("resp_1"), OpenAI.NotFoundError);
});

test("a stream that fails in the middle says so", async () => {
  const failing = { model: "echo", input: COUNT, echo: { fail: "ENGINE_FAILED", fail_after_tokens: 2 } };
  const stream = await client.responses.create({ ...failing, stream: true });
  const kinds = [];
  let said = "";
  const reading = async () => {
    for await (const event of stream) {
      kinds.push(event.type);
      said += event.type === "response.output_text.delta" ? event.delta : "";
      if (event.type === "response.failed") assert.ok(event.response.error.message);
    }
  };
  const raised = await reading().catch((error) => error);
  assert.equal(said, "Count: one");
  assert.ok(raised instanceof OpenAI.APIError || kinds.at(-1) === "response.failed", `${kinds.at(-1)} ${raised}`);
  assert.ok(!kinds.includes("response.completed"));
});

test("a stream that is left frees the worker", async () => {
  const endless = { model: "echo", input: "Hello", echo: { tokens: 100_000, token_ms: 10 } };
  await freeAfter(async () => {
    const stream = await client.responses.create({ ...endless, stream: true });
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") break;
    }
  });
});
