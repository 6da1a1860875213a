// Asks a mesh over gRPC-Web: shows the answer as it comes, lets the reader stop it, and says why a call failed.
//
// The page's own address says where the mesh is, http://127.0.0.1:8000/?mesh=http://127.0.0.1:8080, and may have
// `timeout`, in milliseconds, and `options`, for one kind of provider alone: {"echo": {"fail": "WORKER_LOST"}}

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema, RetryInfoSchema } from "./generated/google/rpc/error_details_pb.js";
import { InferenceService } from "./generated/hybridinference/gateway/v1/inference_service_pb.js";
import { Role } from "./generated/hybridinference/inference/v1/conversation_pb.js";

const address = new URLSearchParams(location.search);
const client = createClient(
  InferenceService,
  createGrpcWebTransport({ baseUrl: address.get("mesh") ?? "http://127.0.0.1:8080" }),
);
const [form, model, question, stop, answer, end] = ["form", "model", "question", "stop", "answer", "end"].map((id) =>
  document.getElementById(id),
);

async function ask(signal) {
  const messages = [{ role: Role.USER, parts: [{ content: { case: "text", value: question.value } }] }];
  const spec = { model: model.value, messages, providerOptionsJson: address.get("options") ?? "" };
  const timeoutMs = Number(address.get("timeout") ?? 60_000);
  for await (const { event } of client.streamGenerate({ spec }, { signal, timeoutMs })) {
    if (event.event.case === "delta") answer.append(event.event.value.text);
    if (event.event.case === "finished") end.textContent = `${event.event.value.usage.outputTokens} tokens`;
  }
}

// Why a call failed, for a program to act on: the reason with its metadata, and when to come back.
function explain(error) {
  const failure = ConnectError.from(error);
  if (failure.code === Code.Canceled) return "stopped";
  const said = [Code[failure.code]];
  for (const info of failure.findDetails(ErrorInfoSchema)) {
    said.push(info.reason, ...Object.entries(info.metadata).map((pair) => pair.join("=")));
  }
  for (const { retryDelay } of failure.findDetails(RetryInfoSchema)) {
    said.push(`retry after ${Number(retryDelay.seconds) * 1000 + retryDelay.nanos / 1e6} ms`);
  }
  return said.length > 1 ? said.join(", ") : `${said[0]}: ${failure.rawMessage}`;
}

form.addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const running = new AbortController();
  stop.onclick = () => running.abort(); // ends the work behind the mesh, too
  answer.textContent = end.textContent = "";
  stop.disabled = false;
  try {
    await ask(running.signal);
  } catch (error) {
    end.textContent = explain(error);
  }
  stop.disabled = true;
});
