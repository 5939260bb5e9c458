// Draws a QR code (ISO/IEC 18004) in the page: SVG by DOM nodes, black on white in dark mode, too.
// What the picture is, is said by whoever draws it, on the element around it:
// <div id="code" role="img" aria-label="QR code for your wallet app"></div>
import encodeQR from "./vendor/qr/index.js";

const SVG = "http://www.w3.org/2000/svg";
const QUIET = 4; // modules of white around the symbol (ISO/IEC 18004, 6.3.8)

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// The dark modules of a row that stand side by side are one bar.
function bars(modules) {
  return modules
    .flatMap((row, y) => {
      const dark = [];
      for (let x = 0; x < row.length; x += 1) {
        const begin = x;
        while (row[x]) x += 1;
        if (x > begin) dark.push(`M${begin} ${y}h${x - begin}v1h${begin - x}z`);
      }
      return dark;
    })
    .join("");
}

// Fills `element` with the code of `text`, in place of whatever stood there; it is as wide as the
// element. Throws if the text is longer than a code holds (2,331 bytes).
export function drawQr(element, text) {
  const modules = encodeQR(text, "raw", { ecc: "medium", border: QUIET });
  const size = modules.length;
  const image = shape("svg", {
    viewBox: `0 0 ${size} ${size}`,
    "shape-rendering": "crispEdges",
    "aria-hidden": "true",
    focusable: "false",
  });
  image.append(
    shape("rect", { width: size, height: size, fill: "#ffffff" }),
    shape("path", { d: bars(modules), fill: "#000000" }),
  );
  element.replaceChildren(image);
}
