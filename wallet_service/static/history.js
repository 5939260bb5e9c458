import { views } from "./app.js";
import { show } from "./page.js";

views.register("history", { enter: () => show("history") });
