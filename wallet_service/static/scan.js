import { views } from "./app.js";
import { show } from "./page.js";

views.register("scan", { enter: () => show("scan") });
