// Opens clients/web in Chromium and says what its head shows: node web_page.mjs FOLDER WEBSOCKET FRAMES SCREENSHOT.
// Prints "ready" when the page is there, then a line of JSON for each frame that was drawn.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { extname, join, resolve } from "node:path";

const [folder, daemon, frames, screenshot] = process.argv.slice(2);
const { chromium } = createRequire(join(resolve(folder), "package.json"))("playwright-core");
const types = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json" };

const files = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const file = join(folder, pathname === "/" ? "index.html" : pathname);
  try {
    const body = await readFile(file);
    response.writeHead(200, { "content-type": types[extname(file)] ?? "text/plain" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((done) => files.listen(0, "127.0.0.1", done));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 480, height: 360 } });
  page.on("pageerror", (error) => console.error(`page: ${error.message}`));
  await page.goto(`http://127.0.0.1:${files.address().port}/?daemon=${encodeURIComponent(daemon)}`);
  await page.waitForFunction(() => window.facetrackd);
  await page.evaluate(() => {
    const { head } = window.facetrackd;
    window.seen = [];
    const watch = () => {
      const { frame } = window.facetrackd;
      if (frame !== null && window.seen.at(-1)?.frame !== frame) {
        const weights = head.mesh.morphTargetInfluences;
        const names = Object.entries(head.mesh.morphTargetDictionary);
        window.seen.push({
          frame,
          blendshapes: Object.fromEntries(names.map(([name, k]) => [name, weights[k]])),
          matrix: [...head.object.matrix.elements],
          eyes: Object.fromEntries(Object.entries(head.eyes).map(([side, eye]) => [side, eye.quaternion.toArray()])),
        });
      }
      requestAnimationFrame(watch);
    };
    watch();
  });
  console.log("ready");
  await page.waitForFunction((n) => window.seen.length >= n, Number(frames), { timeout: 60000 });
  await page.screenshot({ path: screenshot });
  for (const seen of await page.evaluate(() => window.seen)) console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  files.close();
}
