// Has the browser keep the wallet's shell, once the first view is there.

const ADDRESS = "/service-worker.js?";

// The only address of a script that is made here (Trusted Types; the page's policy names this one).
const policy = globalThis.trustedTypes?.createPolicy("service-worker", {
  createScriptURL(url) {
    if (!url.startsWith(ADDRESS)) throw new TypeError("not the service worker");
    return url;
  },
});

export async function keepShell(version, language) {
  const url = ADDRESS + new URLSearchParams({ version, language });
  try {
    await navigator.serviceWorker?.register(policy?.createScriptURL(url) ?? url);
  } catch {
    // A browser that keeps nothing (a private window) has the wallet all the same.
  }
}
