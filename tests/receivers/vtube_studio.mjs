// VTube Studio's side of its plugin API for node: node vtube_studio.mjs FOLDER INJECTIONS, FOLDER having `ws`, `vtubestudio`
// and `typescript`.
//
// First the client library `vtubestudio` goes through our answers, which shows that they are what a client takes, and leaves
// its own messages to compare with. Then any plugin may connect. After so many injections of its, what it sent is compared:
// the envelope with the library's own, the data with the library's TypeScript types, by tsc. Prints the port, then the outcome.

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [folder, injections] = [resolve(process.argv[2]), Number(process.argv[3])];
const require = createRequire(join(folder, "package.json"));
const { WebSocket, WebSocketServer } = require("ws");
const { ApiClient, ErrorCode } = require("vtubestudio");

const TOKEN = "0123456789abcdef".repeat(4);
const ranges = {
  FaceAngleX: [-30, 30, 0], FaceAngleY: [-30, 30, 0], FaceAngleZ: [-90, 90, 0], FacePositionX: [-15, 15, 0],
  FacePositionY: [-15, 15, 0], FacePositionZ: [-10, 10, 0], MouthSmile: [0, 1, 0.5], MouthOpen: [0, 1, 0], MouthX: [-1, 1, 0],
  Brows: [0, 1, 0.5], BrowLeftY: [0, 1, 0.5], BrowRightY: [0, 1, 0.5], EyeOpenLeft: [0, 1, 1], EyeOpenRight: [0, 1, 1],
  EyeLeftX: [-1, 1, 0], EyeLeftY: [-1, 1, 0], EyeRightX: [-1, 1, 0], EyeRightY: [-1, 1, 0], TongueOut: [0, 1, 0],
  CheekPuff: [0, 1, 0], FaceAngry: [0, 1, 0], MousePositionX: [-1, 1, 0],
};
const listed = (name, [min, max, defaultValue], addedBy) => ({ name, addedBy, value: 0, min, max, defaultValue });
const created = new Map();

function answer({ messageType, data }, session) {
  const fault = (errorID, message) => ["APIError", { errorID, message }];
  const fine = (body) => [messageType.replace("Request", "Response"), body];
  if (messageType === "APIStateRequest") {
    return fine({ active: true, vTubeStudioVersion: "1.9.0", currentSessionAuthenticated: Boolean(session.authenticated) });
  }
  if (messageType === "AuthenticationTokenRequest") return fine({ authenticationToken: TOKEN });
  if (messageType === "AuthenticationRequest") {
    session.authenticated = data.authenticationToken === TOKEN;
    return fine({ authenticated: session.authenticated, reason: "" });
  }
  if (!session.authenticated) return fault(ErrorCode.RequestRequiresAuthetication, "not authenticated");
  if (messageType === "InputParameterListRequest") {
    return fine({
      modelLoaded: false, modelName: "", modelID: "", customParameters: [...created.values()],
      defaultParameters: Object.entries(ranges).map(([name, range]) => listed(name, range, "VTube Studio")),
    });
  }
  if (messageType === "ParameterCreationRequest") {
    const { parameterName: name, min, max, defaultValue } = data;
    if (!/^[A-Za-z0-9]{4,32}$/.test(name)) return fault(350, `bad name ${name}`);
    created.set(name, listed(name, [min, max, defaultValue], "a plugin"));
    return fine({ parameterName: name });
  }
  if (messageType === "InjectParameterDataRequest") {
    const unknown = data.parameterValues.find(({ id }) => !(id in ranges) && !created.has(id));
    return unknown ? fault(450, `Parameter ${unknown.id} not found.`) : fine({});
  }
  return fault(1, messageType);
}

const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
let sent = [];
let enough = () => {};
server.on("connection", (socket) => {
  const session = {};
  socket.on("message", (text) => {
    const request = JSON.parse(text);
    sent.push(request);
    const [messageType, data] = answer(request, session);
    const { requestID } = request;
    socket.send(JSON.stringify({ apiName: "VTubeStudioPublicAPI", apiVersion: "1.0", timestamp: Date.now(), requestID, messageType, data }));
    if (sent.filter((m) => m.messageType === "InjectParameterDataRequest").length === injections) enough();
  });
});
await new Promise((done) => server.once("listening", done));
const { port } = server.address();

// The library's own way.
const client = new ApiClient({
  authTokenGetter: () => null, authTokenSetter: () => {}, pluginName: "reference", pluginDeveloper: "nobody here", port,
  url: `ws://127.0.0.1:${port}`, webSocketFactory: (url) => new WebSocket(url),
});
await new Promise((done) => client.on("connect", done));
await client.inputParameterList();
await client.parameterCreation({ parameterName: "Reference", explanation: "x", min: 0, max: 1, defaultValue: 0 });
await client.injectParameterData({ faceFound: true, mode: "set", parameterValues: [{ id: "Reference", value: 0 }] });
await client.disconnect();
const reference = new Map(sent.map((message) => [message.messageType, message]));
[sent] = [[]];
created.clear();

const all = new Promise((done) => (enough = done));
console.log(JSON.stringify({ port }));
await all;

const problems = [];
const keys = (message) => Object.keys(message).filter((key) => key !== "timestamp").sort().join();
const literals = [];
for (const [n, message] of sent.entries()) {
  const like = reference.get(message.messageType);
  if (!like) problems.push(`the library never sends ${message.messageType}`);
  else if (keys(like) !== keys(message)) problems.push(`${message.messageType} has ${keys(message)}, the library's ${keys(like)}`);
  if (message.apiName !== "VTubeStudioPublicAPI" || message.apiVersion !== "1.0") problems.push(`API of ${message.messageType}`);
  if (!/^\w{1,64}$/.test(message.requestID)) problems.push(`requestID ${message.requestID}`);
  const call = message.messageType.replace("Request", "");
  const name = call[0].toLowerCase() + call.slice(1);
  literals.push(`const m${n}: Data<"${name}"> = ${JSON.stringify(message.data).replace(/^{}$/, "undefined")};`);
}
// Literals, since tsc looks for surplus keys in nothing else; the library itself sends {} where its type says undefined.
const head = 'import type { ApiClient } from "vtubestudio";\ntype Data<K extends keyof ApiClient> = ApiClient[K] extends (data: infer D, ...rest: any[]) => any ? D : never;\n';
writeFileSync(join(folder, "sent.ts"), `${head}${literals.join("\n")}\nexport {};\n`);
try {
  const tsc = [join(folder, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--skipLibCheck", "--lib", "es2020,dom", "sent.ts"];
  execFileSync(process.execPath, tsc, { cwd: folder, encoding: "utf8" });
} catch (error) {
  problems.push(error.stdout || error.message);
}
console.log(JSON.stringify({ problems, last: sent.at(-1), kinds: [...new Set(sent.map((m) => m.messageType))], created: created.size }));
process.exit(0);
