// OpenAI's SDK in a page: what it does and sees, as one object.

import OpenAI from "openai";

const baseURL = new URLSearchParams(location.search).get("mesh") + "/v1";
const client = new OpenAI({ baseURL, apiKey: "none", dangerouslyAllowBrowser: true, maxRetries: 0 });
const asked = (content, more) => ({ model: "echo", messages: [{ role: "user", content }], ...more });

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    const header = (name) => error.headers?.get(name) ?? null;
    return { name: error.constructor.name, status: error.status, code: error.code, after: header("retry-after"), id: header("x-request-id") };
  }
}

globalThis.seen = (async () => {
  const models = (await client.models.list()).data.map((model) => model.id);
  const whole = (await client.chat.completions.create(asked("one two three"))).choices[0].message.content;
  const pieces = [];
  const words = Array(3).fill("red orange yellow green blue indigo violet").join(" ");
  const helper = client.chat.completions.stream(asked(words)); // sends headers of its own
  for await (const chunk of helper) pieces.push(chunk.choices[0]?.delta?.content ?? "");
  const vectors = (await client.embeddings.create({ model: "echo", input: ["one", "two"] })).data.map((one) => one.embedding.length);
  const unknown = await failure(client.chat.completions.create({ ...asked("one"), model: "no-such-model" }));
  const echo = { fail: "ACCOUNTING_UNAVAILABLE", retry_after_ms: 1500 };
  const busy = await failure(client.chat.completions.create(asked("one", { echo })));
  return { models, whole, pieces, vectors, unknown, busy };
})();
