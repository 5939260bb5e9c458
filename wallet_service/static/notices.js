import { views } from "./app.js";
import { show } from "./page.js";

views.register("notices", { enter: () => show("notices") });
