// Keeps the shell of the wallet: its files, and the page that says there is no connection. Never data:
// what the API answers, and every page that somebody led to, goes past it to the network.
// Its own address names version and language (`?version=…&language=…`): another one keeps anew.

const parameters = new URL(location.href).searchParams;
const version = parameters.get("version");
const SHELL = `shell-${version}-${parameters.get("language")}`;
const FILES = `/static/${version}/`;
const OFFLINE = "/offline";

async function keep() {
  const shell = await caches.open(SHELL);
  await shell.add(new Request(OFFLINE, { cache: "reload" }));
  await skipWaiting();
}

async function forgetOthers() {
  const names = await caches.keys();
  await Promise.all(names.filter((each) => each !== SHELL).map((each) => caches.delete(each)));
  await clients.claim();
}

async function file(request) {
  const shell = await caches.open(SHELL);
  const kept = await shell.match(request);
  if (kept !== undefined) return kept;
  const answer = await fetch(request);
  if (answer.ok) await shell.put(request, answer.clone());
  return answer;
}

async function firstPage(request) {
  try {
    return await fetch(request);
  } catch {
    return caches.match(OFFLINE, { ignoreVary: true });
  }
}

addEventListener("install", (event) => event.waitUntil(keep()));
addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (origin !== location.origin || request.method !== "GET") return;
  if (pathname.startsWith(FILES)) event.respondWith(file(request));
  // No other page: fetched from here it would look as if a page of this browser had led to it.
  else if (request.mode === "navigate" && pathname === "/") event.respondWith(firstPage(request));
});
