// What a page itself has to do: go on once the wallet has answered. Its server knows the answer.
document.addEventListener("citizen-wallet-result", (event) => {
  if (event.detail.state === "verified") location.assign("/reserve");
});
