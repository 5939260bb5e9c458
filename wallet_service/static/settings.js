import { views } from "./app.js";
import { show } from "./page.js";

views.register("settings", { enter: () => show("settings") });
