// A stream that is silent before its first content and between two pieces, read by OpenAI's own SDK.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.BASE_URL}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "one two" }];

const ask = (echo) => client.chat.completions.create({ model: "echo", messages, stream: true, echo });

const { data: stream, response } = await ask({ tokens: 2, first_token_ms: 2500, token_ms: 600 }).withResponse();
let text = "";
for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";

let failed = null;
try {
  for await (const chunk of await ask({ first_token_ms: 2500, fail: "PROVIDER_REJECTED" })) failed = chunk;
} catch (error) {
  failed = { isApiError: error instanceof OpenAI.APIError, status: error.status ?? null, code: error.code };
}
console.log(JSON.stringify({ text, headers: Object.fromEntries(response.headers), failed }));
