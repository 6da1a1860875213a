// Tools and objects, with the helpers that run the former and parse the latter.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { BASE_URL, HELLO, WEATHER } from "../surroundings.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: "none", maxRetries: 0 });
const City = z.object({ city: z.string(), days: z.number().int() });
const Place = z.object({ name: z.string(), degrees: z.number().int(), sky: z.array(z.enum(["clear", "cloudy"])) });
const WANTED = { name: "Paris", degrees: 21, sky: ["clear"] };
const weather = { name: "get_weather", parameters: City };

test("calls of tools are streamed by their index", async () => {
  const stream = await client.chat.completions.create({
    model: "chat", messages: WEATHER, tools: [zodFunction(weather)], stream: true,
  });
  const calls = [];
  for await (const { choices: [choice] } of stream) {
    for (const call of choice?.delta.tool_calls ?? []) {
      if (call.id) {
        assert.equal(call.type, "function");
        calls[call.index] = { id: call.id, name: call.function.name, said: "" };
      } else {
        assert.equal(call.function.name, undefined);
      }
      calls[call.index].said += call.function.arguments;
    }
  }
  assert.deepEqual(calls.map((call) => JSON.parse(call.said)), [{ city: "Paris", days: 21 }, { city: "Oslo", days: 21 }]);
  assert.equal(new Set(calls.map((call) => call.id)).size, 2);
  assert.ok(calls.every((call) => call.name === "get_weather"));
});

for (const stream of [false, true]) {
  test(`a runner of tools ends with an answer, ${stream ? "streamed" : "whole"}`, async () => {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model: "chat", messages: WEATHER, stream,
      tools: [zodFunction({ ...weather, function: (given) => { asked.push(given.city); return { degrees: 17 }; } })],
    });
    assert.equal(await runner.finalContent(), "It is 17 degrees.");
    assert.deepEqual(asked, ["Paris", "Oslo"]);
    assert.equal(runner.messages.filter((message) => message.role === "tool").length, 2);
  });
}

test("a tool's arguments are parsed, and a choice of tool is heeded", async () => {
  const choose = async (tool_choice) => {
    const answer = await client.chat.completions.parse({
      model: "chat", messages: HELLO, tools: [zodFunction(weather), zodFunction({ ...weather, name: "get_time" })], tool_choice,
    });
    return answer.choices[0].message.tool_calls?.map((call) => [call.function.name, call.function.parsed_arguments]) ?? [];
  };
  const wanted = { city: "Paris", days: 21 };
  assert.deepEqual(await choose("required"), [["get_weather", wanted]]);
  assert.deepEqual(await choose({ type: "function", function: { name: "get_time" } }), [["get_time", wanted]]);
  assert.deepEqual(await choose("none"), []);
});

test("an object of zod is parsed", async () => {
  const answer = await client.chat.completions.parse({
    model: "chat", messages: HELLO, response_format: zodResponseFormat(Place, "place"),
  });
  assert.deepEqual(answer.choices[0].message.parsed, WANTED);
});

test("an object of zod is parsed out of a stream", async () => {
  const stream = client.chat.completions.stream({
    model: "chat", messages: HELLO, response_format: zodResponseFormat(Place, "place"),
  });
  const done = [];
  stream.on("content.done", (event) => done.push(event.parsed));
  const whole = await stream.finalChatCompletion();
  assert.deepEqual(whole.choices[0].message.parsed, WANTED);
  assert.deepEqual(done, [WANTED]);
});

test("an object that is cut by its limit is no object", async () => {
  await assert.rejects(
    client.chat.completions.parse({
      model: "chat", messages: HELLO, response_format: zodResponseFormat(Place, "place"), max_tokens: 1,
    }),
    OpenAI.LengthFinishReasonError,
  );
});
