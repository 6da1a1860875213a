// What tests on Node share: the mesh's address, requests to its echo workers, and what a worker is doing.

import http from "node:http";

export const BASE_URL = `${process.env.BASE_URL}/v1`;
export const HELLO = [{ role: "user", content: "Hello" }];
export const COUNT = [{ role: "user", content: "Count: one two three four five" }];
export const WEATHER = [{ role: "user", content: "What is the weather in Paris, and what is it in Oslo?" }];

// A picture of one red point.
export const RED =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGO4w8AAAAKYAN3rxP+VAAAAAElFTkSuQmCC";

// A document of one page, as far as a model without eyes reads one.
export const PAGE = Buffer.from("%PDF-1.4\nBT /F1 24 Tf 72 700 Td (A page.) Tj ET\n%%EOF\n");

/** A chat request to an echo worker, with what it is told to do. */
export function told(script, { model = "echo", messages = HELLO, ...more } = {}) {
  return { model, messages, echo: script, ...more };
}

/** How many attempts the echo worker has under way. */
export async function running() {
  const text = await new Promise((resolve, reject) => {
    const socketPath = `${process.env.METRICS}/echo-0.metrics.sock`;
    const asking = http.get({ socketPath, path: "/metrics" }, (answer) => {
      let said = "";
      answer.on("data", (piece) => (said += piece));
      answer.on("end", () => resolve(said));
    });
    asking.on("error", reject);
  });
  const lines = [...text.matchAll(/^hybrid_worker_attempts_running(?:\{.*?\})? (\S+)$/gm)];
  if (!lines.length) throw new Error("the worker does not say how many attempts it has");
  return lines.reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Wait until the echo worker has so many attempts under way. To be free again it has a second. */
export async function untilRunning(wanted, seconds = wanted ? 30 : 1) {
  const begun = Date.now();
  while ((await running()) !== wanted) {
    if (Date.now() - begun > 1000 * seconds) throw new Error(`not ${wanted} attempts within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Play a scene, after which the echo worker is free. A machine may stand still meanwhile, though not three times. */
export async function freeAfter(scene) {
  for (let scenes = 1; ; scenes += 1) {
    await scene();
    try {
      return await untilRunning(0);
    } catch (error) {
      if (scenes === 3) throw error;
      await untilRunning(0, 30);
    }
  }
}
