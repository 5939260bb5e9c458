// Copies the link for wallets that are web pages; without scripts it can be marked by hand.
const button = document.getElementById("copy");
const link = document.getElementById("link");

async function copy() {
  await navigator.clipboard.writeText(link.value);
  document.getElementById("copied").textContent = button.dataset.done;
}

if (navigator.clipboard) {
  button.hidden = false;
  button.addEventListener("click", copy);
}
link.addEventListener("focus", () => link.select());
