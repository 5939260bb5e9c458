import { views } from "./app.js";
import { show } from "./page.js";

views.register("card", { enter: () => show("one-card") });
