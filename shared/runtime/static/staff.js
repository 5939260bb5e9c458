// Passkeys of staff: the form says what to ask the browser for, and takes its answer in a field.
// An invitation's code stands behind "#" in its link, so that no server sees it in a URL.

const encode = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const decode = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));

async function created(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: decode(options.challenge),
      user: { ...options.user, id: decode(options.user.id) },
    },
  });
  const { clientDataJSON, attestationObject } = made.response;
  return { made, response: { clientDataJSON: encode(clientDataJSON), attestationObject: encode(attestationObject) } };
}

async function used(options) {
  const made = await navigator.credentials.get({
    publicKey: { ...options, challenge: decode(options.challenge), allowCredentials: [] },
  });
  const { clientDataJSON, authenticatorData, signature, userHandle } = made.response;
  const response = {
    clientDataJSON: encode(clientDataJSON),
    authenticatorData: encode(authenticatorData),
    signature: encode(signature),
    userHandle: userHandle && encode(userHandle),
  };
  return { made, response };
}

const form = document.getElementById("passkey-form");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const failed = document.getElementById("passkey-failed");
  const button = form.querySelector("button");
  failed.hidden = true;
  button.disabled = true;
  try {
    const { get, create } = form.dataset;
    const { made, response } = get ? await used(JSON.parse(get)) : await created(JSON.parse(create));
    const id = encode(made.rawId);
    form.elements.passkey.value = JSON.stringify({
      id,
      rawId: id,
      type: made.type,
      response,
      clientExtensionResults: {},
    });
    form.submit();
  } catch {
    failed.hidden = false;
    button.disabled = false;
    button.focus();
  }
});

const code = document.getElementById("code");
if (code && location.hash.length > 1) {
  code.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("join-continue").focus();
}
