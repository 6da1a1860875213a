// Drives the pages in a real Chromium and prints what a reader would see, as JSON.
//
// node drive.mjs PAGES FOREIGN MESH: where the pages are, once of an origin that the mesh knows, once of one it does not

import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";

const [pages, foreign, mesh] = process.argv.slice(2);
const LONG = `Count to two hundred: ${Array.from({ length: 200 }, (_, index) => index + 1).join(" ")}`;
const browser = await playwright.launch({
  executablePath: await chromium.executablePath(),
  // Not the package's own arguments: they switch the rules off that keep origins apart.
  args: ["--no-sandbox", "--disable-gpu"],
  headless: true,
});

// A page of its own; `texts` collects each state of the answer that was there to be seen.
async function opened(origin, parameters = {}) {
  const page = await browser.newPage();
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  await page.goto(`${origin}/?${new URLSearchParams({ mesh, ...parameters })}`);
  await page.evaluate(() => {
    globalThis.texts = [];
    const answer = document.getElementById("answer");
    new MutationObserver(() => texts.push(answer.textContent)).observe(answer, { childList: true });
  });
  return { page, said };
}

async function ask({ page, said }, question, { model = "echo", meanwhile = async () => {} } = {}) {
  await page.fill("#model", model);
  await page.fill("#question", question);
  await page.click("#ask");
  await meanwhile(page);
  await page.waitForFunction(() => document.getElementById("end").textContent);
  const seen = await page.evaluate(() => ({
    answer: document.getElementById("answer").textContent,
    end: document.getElementById("end").textContent,
    texts: texts.filter(Boolean),
  }));
  await page.close();
  return { ...seen, said };
}

async function stop(page) {
  await page.waitForFunction(() => document.getElementById("answer").textContent);
  await page.click("#stop");
}

// What a foreign page gets for what it sends without asking first, and for JSON.
async function sentAnyway() {
  const page = await browser.newPage();
  await page.goto(foreign);
  const got = await page.evaluate(async (url) => {
    const body = JSON.stringify({ model: "echo", user: "foreign", messages: [{ role: "user", content: "Hello" }] });
    const ways = [{ mode: "no-cors" }, { headers: { "content-type": "text/plain" } }, { headers: { "content-type": "application/json" } }];
    const sent = ways.map((way) => fetch(url, { method: "POST", body, ...way }));
    return (await Promise.allSettled(sent)).map((one) => one.value?.type ?? one.reason.name);
  }, `${mesh}/v1/chat/completions`);
  await page.close();
  return got;
}

const words = Array(3).fill("red orange yellow green blue indigo violet").join(" ");
const busy = JSON.stringify({ echo: { fail: "ACCOUNTING_UNAVAILABLE", retry_after_ms: 1500 } });
const seen = {
  answer: await ask(await opened(pages), words),
  unknown: await ask(await opened(pages), words, { model: "no-such-model" }),
  busy: await ask(await opened(pages, { options: busy }), words),
  deadline: await ask(await opened(pages, { timeout: 2500 }), LONG),
  stopped: await ask(await opened(pages), LONG, { meanwhile: stop }),
  foreign: await ask(await opened(foreign), "a question from elsewhere"),
};
seen.sent = await sentAnyway();
const page = await browser.newPage();
await page.goto(`${pages}/openai.html?${new URLSearchParams({ mesh })}`);
seen.openai = await page.evaluate(() => globalThis.seen);
await browser.close();
console.log(JSON.stringify(seen));
