// A code of an agency: by camera, from a picture, or as text. Where the browser cannot read codes, a
// library does, loaded when it is needed. Pictures stay here; only the text of a code is sent.

import { go, views } from "./app.js";
import { $, announce, busy, onSubmit, said, show } from "./page.js";
import { Refused, call } from "./wallet.js";

const PAUSE = 150; // ms between two looks: the page stays quick
const SIDE = 1600; // px: what a photograph is made smaller to

let stream;
let looking = 0; // which search runs; another one ends it

function problem(code, place) {
  $("scan-problem-text").textContent = said("scan-words", code);
  $("scan-leads").hidden = !place;
  $("scan-leads-to").textContent = place ?? "";
  $("scan-problem").hidden = false;
}

// -- Reading a picture -----------------------------------------------------------------------------

async function reader() {
  if ("BarcodeDetector" in globalThis) {
    const formats = await BarcodeDetector.getSupportedFormats();
    if (formats.includes("qr_code")) {
      const detector = new BarcodeDetector({ formats: ["qr_code"] });
      return async (canvas) => (await detector.detect(canvas))[0]?.rawValue;
    }
  }
  const { decodeQR } = await import("./vendor/qr/decode.js");
  return (canvas, options) => {
    const { width, height } = canvas;
    try {
      return decodeQR(canvas.getContext("2d").getImageData(0, 0, width, height), options);
    } catch {
      return undefined; // it says so where there is none
    }
  };
}

function drawn(source, width, height, side = SIDE) {
  const scale = Math.min(1, side / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// -- What was found --------------------------------------------------------------------------------

const host = (text) => {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.host : undefined;
  } catch {
    return undefined;
  }
};

async function found(text) {
  stop();
  announce(said("scan-words", "found"));
  try {
    const flow = await call("POST", "/scan", { text, cross_device: true });
    go(flow.kind === "offer" ? "receive" : "consent", flow.id);
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== "not_for_me") throw error;
    problem("not_for_me", host(text));
    offerCamera();
    $("scan-problem").scrollIntoView({ block: "nearest" });
  }
}

// -- The camera ------------------------------------------------------------------------------------

function stop() {
  looking += 1;
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = undefined;
  $("viewfinder").srcObject = null;
  $("camera").hidden = true;
}

const offerCamera = () => {
  $("start-camera").hidden = !navigator.mediaDevices?.getUserMedia;
};

async function look() {
  stop();
  const mine = looking;
  try {
    const video = { facingMode: "environment", width: { ideal: 1280 } };
    const opened = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    if (mine !== looking) {
      for (const track of opened.getTracks()) track.stop();
      return;
    }
    stream = opened;
  } catch (error) {
    if (mine !== looking) return;
    problem(error.name === "NotAllowedError" ? "no_right" : "no_camera");
    offerCamera();
    return;
  }
  const picture = $("viewfinder");
  picture.srcObject = stream;
  $("camera").hidden = false;
  $("start-camera").hidden = true;
  await picture.play();
  announce(said("scan-words", "looking"));
  const read = await reader();
  while (mine === looking) {
    const { videoWidth: width, videoHeight: height } = picture;
    const text = width ? await read(drawn(picture, width, height, 800)) : undefined;
    if (mine !== looking) return;
    if (text) await busy(() => found(text));
    else await new Promise((resume) => setTimeout(resume, PAUSE));
  }
}

// -- Picture and text ------------------------------------------------------------------------------

$("scan-picture").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  busy(async () => {
    $("scan-problem").hidden = true;
    let picture;
    try {
      picture = await createImageBitmap(file);
    } catch {
      problem("no_picture");
      return;
    } finally {
      target.value = "";
    }
    const canvas = drawn(picture, picture.width, picture.height);
    const read = await reader();
    const text = await read(canvas, { effort: Infinity, timeLimit: 5000 });
    if (text) await found(text);
    else problem("no_code");
  });
});

onSubmit("scan-form", async () => {
  $("scan-problem").hidden = true;
  await found($("scan-text").value.trim());
});

$("start-camera").addEventListener("click", () => {
  $("scan-problem").hidden = true;
  look();
});

// -- The view --------------------------------------------------------------------------------------

async function allowed() {
  if (!navigator.mediaDevices?.getUserMedia) return "denied";
  try {
    return (await navigator.permissions.query({ name: "camera" })).state;
  } catch {
    return "prompt"; // this browser does not tell
  }
}

async function enter() {
  $("scan-problem").hidden = true;
  $("scan-text").value = "";
  $("camera").hidden = true;
  offerCamera();
  show("scan");
  const right = await allowed();
  if (right === "granted") look();
  else if (right === "denied") problem(navigator.mediaDevices ? "no_right" : "no_camera");
}

views.register("scan", { enter, leave: stop });
