// Asks the browser's wallet (W3C Digital Credentials API), where there is one. Without it, or
// without scripts, the link below the button leads to a wallet. Across devices: the code to scan.
const button = document.getElementById("ask-browser");
const code = document.getElementById("present-code");
const status = document.getElementById("present-status");
const here = location.pathname;

async function post(path, content) {
  const answer = await fetch(`${here}/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(content),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function ask() {
  button.disabled = true;
  status.textContent = button.dataset.waiting;
  try {
    const digital = await post("request", {});
    const credential = await navigator.credentials.get({ mediation: "required", digital });
    const data = typeof credential.data === "string" ? JSON.parse(credential.data) : credential.data;
    const answer = await post("answer", { protocol: credential.protocol, data });
    location.assign(answer.redirect_uri);
  } catch (error) {
    console.warn(error.name);
    status.textContent = button.dataset.failed;
    button.disabled = false;
  }
}

if (button && "DigitalCredential" in window && navigator.credentials) {
  document.getElementById("ask").hidden = false;
  document.getElementById("open-wallet")?.classList.remove("main"); // one way on stands out
  button.addEventListener("click", ask);
}

if (code) {
  const { drawQr } = await import("./qr-image.js");
  drawQr(code, code.dataset.link);
  code.hidden = false;
  document.getElementById("present-scan").hidden = false;
}
