// Asks a mesh over typed gRPC, without generated code: whole, streamed, with a deadline, cancelled; and shows what
// failures say.
//
// node typed.js [ADDRESS] [MODEL]

import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

// The published contracts, which `make contracts` writes at the top of the repository.
const directory = process.env.CONTRACTS ?? fileURLToPath(new URL("../../build/contracts", import.meta.url));
const contracts = loadSync(
  ["hybridinference/gateway/v1/inference_service.proto", "google/rpc/error_details.proto", "google/rpc/status.proto"],
  { includeDirs: [`${directory}/protos`], enums: String, longs: Number, defaults: true },
);
const { InferenceService } = grpc.loadPackageDefinition(contracts).hybridinference.gateway.v1;

const LONG = `Count to two hundred: ${Array.from({ length: 200 }, (_, index) => index + 1).join(" ")}`;
const within = (milliseconds) => ({ deadline: Date.now() + milliseconds });

// What to generate. Options are for one kind of provider alone; these here for an echo worker.
function ask(model, text, options) {
  const messages = [{ role: "ROLE_USER", parts: [{ text }] }];
  const providerOptionsJson = options ? JSON.stringify(options) : "";
  return { spec: { model, messages, maxOutputTokens: 256, providerOptionsJson } };
}

// Why a call failed, for a program to act on: the reason with its metadata, and when to come back.
function explain(error) {
  const said = [grpc.status[error.code]];
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = bytes ? contracts["google.rpc.Status"].deserialize(bytes).details : [];
  for (const { type_url: type, value } of details) {
    const detail = contracts[type.split("/").pop()].deserialize(value);
    if (type.endsWith("/google.rpc.ErrorInfo")) {
      said.push(detail.reason, ...Object.entries(detail.metadata).sort().map((pair) => pair.join("=")));
    } else if (type.endsWith("/google.rpc.RetryInfo")) {
      said.push(`retry after ${detail.retryDelay.seconds * 1000 + detail.retryDelay.nanos / 1e6} ms`);
    }
  }
  return said.join(", ");
}

async function whole(client, model) {
  const answer = await client.generate(ask(model, "What is the capital of France?"), within(60_000));
  console.log("whole:", answer.choices[0].content.text);
  console.log("tokens:", answer.usage.inputTokens, "in,", answer.usage.outputTokens, "out");
}

async function stream(client, model) {
  const text = "Say these words one after the other: red orange yellow green blue indigo violet";
  process.stdout.write("stream: ");
  for await (const { event } of client.streamGenerate(ask(model, text), within(60_000))) {
    process.stdout.write(event.delta?.text ?? "");
  }
  process.stdout.write("\n");
}

async function deadline(client, model) {
  try {
    await client.generate(ask(model, LONG), within(300));
  } catch (error) {
    console.log("deadline:", grpc.status[error.code]);
  }
}

async function cancel(client, model) {
  const call = client.streamGenerate(ask(model, LONG));
  try {
    for await (const { event } of call) {
      if (event.delta) call.cancel(); // ends the work behind the mesh, too
    }
  } catch (error) {
    console.log("cancelled:", grpc.status[error.code]);
  }
}

async function failures(client, model) {
  const busy = { echo: { fail: "ACCOUNTING_UNAVAILABLE", retry_after_ms: 1500 } };
  for (const request of [ask("no-such-model", "Hello"), ask(model, "Hello", busy)]) {
    try {
      await client.generate(request, within(60_000));
    } catch (error) {
      console.log("failure:", explain(error));
    }
  }
}

const [address = "127.0.0.1:8080", model = "echo"] = process.argv.slice(2);
const stub = new InferenceService(address, grpc.credentials.createInsecure());
const client = {
  generate: promisify(stub.generate).bind(stub),
  streamGenerate: stub.streamGenerate.bind(stub),
};
for (const example of [whole, stream, deadline, cancel, failures]) await example(client, model);
stub.close();
