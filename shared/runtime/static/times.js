// Times stand in the page in UTC; whoever reads it sees the time of their own clock.
const page = document.documentElement.lang;
const language = navigator.languages.find((each) => each.split("-")[0] === page) ?? page;
const format = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
for (const each of document.querySelectorAll("time[datetime]")) {
  each.textContent = format.format(new Date(each.dateTime));
}
