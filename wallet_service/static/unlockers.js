import { views } from "./app.js";
import { show } from "./page.js";

views.register("unlockers", { enter: () => show("unlockers") });
