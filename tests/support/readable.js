// What is wrong with the page under a setting; see readable.py.
setting => {
  const found = new Set();
  const root = document.documentElement;
  const width = root.clientWidth;
  const name = (each) => `${each.localName}${each.id && "#" + each.id} ` +
    `"${(each.innerText ?? "").trim().slice(0, 40)}"`;
  const fault = (what, each) => found.add(each ? `${what}: ${name(each)}` : what);
  const styles = new Map();
  const style = (each) => {
    if (!styles.has(each)) styles.set(each, getComputedStyle(each));
    return styles.get(each);
  };
  const seen = (each) => each.checkVisibility({visibilityProperty: true}) &&
    !each.closest(".unseen, .skip:not(:focus), .is-drawn > :not(.drawn), svg, option");
  const scrolls = (each) => /auto|scroll/.test(style(each).overflowX);
  const clips = (each) => /hidden|clip/.test(style(each).overflow);
  const inside = (each, fits) => {
    for (let it = each; it && it !== document.body; it = it.parentElement) if (fits(it)) return it;
    return null;
  };
  const sticks = (each) => /sticky|fixed/.test(style(each).position);

  if (root.scrollWidth > width) fault(`${root.scrollWidth - width} px wider than the screen`);

  // Texts: where each line stands.
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const holder = text.parentElement;
    if (!text.data.trim() || !seen(holder) || holder.matches("script, style, noscript")) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    const clip = inside(holder, clips)?.getBoundingClientRect();
    const scrolled = inside(holder, scrolls);
    for (const box of range.getClientRects()) {
      if (box.width < 1) continue;
      if (!scrolled && (box.left < -1 || box.right > width + 1)) fault("beyond the screen", holder);
      if (clip && (box.left < clip.left - 1 || box.right > clip.right + 1 ||
        box.top < clip.top - 3 || box.bottom > clip.bottom + 3)) fault("cut off", holder);
      if (!scrolled && !inside(holder, sticks)) lines.push([box, holder, text]);
    }
    if (setting === "print") {
      const [r, g, b] = style(holder).color.match(/[\d.]+/g).map((each) => each / 255)
        .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
      if (1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05) < 4.5) fault("pale", holder);
    }
  }
  lines.sort(([one], [other]) => one.top - other.top);
  for (const [at, [box, holder, text]] of lines.entries()) {
    for (let next = at + 1; next < lines.length && lines[next][0].top < box.bottom; next += 1) {
      const [other, beside, more] = lines[next];
      const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
      const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
      if (text !== more && across > 3 && down > Math.min(box.height, other.height) / 2)
        fault(`over ${name(beside)}`, holder);
    }
  }

  // Fields and frames that cut their own text off.
  for (const each of document.querySelectorAll("button, .button, select, .badge")) {
    if (seen(each) && each.scrollWidth > each.clientWidth + 2 && style(each).display !== "inline")
      fault("cut off", each);
  }

  // What is pressed and reached by Tab.
  if (["as it is", "forced colours"].includes(setting)) {
    const active = document.activeElement;
    const place = [scrollX, scrollY];
    const reached = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    for (const each of document.querySelectorAll(reached)) {
      if (!seen(each) || each.disabled || each.type === "hidden") continue;
      const box = (each.closest("label") ?? each).getBoundingClientRect();
      const inText = style(each).display === "inline" && each.parentElement.matches("p, li, dd") &&
        each.parentElement.innerText.trim() !== each.innerText.trim();
      if (!inText && (box.width < 24 || box.height < 24)) fault("too small to press", each);
      each.focus({focusVisible: true});
      if (document.activeElement !== each) continue;
      const now = getComputedStyle(each);
      if (now.outlineStyle === "none" || parseFloat(now.outlineWidth) < 2)
        fault("focus not seen", each);
      const own = each.getBoundingClientRect();
      const over = document.elementFromPoint(own.left + own.width / 2, own.top + own.height / 2);
      const mine = [each, each.closest("label")].some((it) => it?.contains(over));
      if (over && !mine && !over.contains(each))
        fault(`focus under ${name(over)}`, each);
      const framed = each.matches("button, .button, input, select, textarea") &&
        !each.matches(".plain, [type=file], [type=radio], [type=checkbox]");
      if (framed && setting === "forced colours" && !(parseFloat(now.borderTopWidth) >= 1))
        fault("without a frame", each);
    }
    if (active && active !== document.body) active.focus({preventScroll: true});
    else document.activeElement?.blur();
    scrollTo(...place);
  }

  // Little motion.
  if (setting === "as it is" && matchMedia("(prefers-reduced-motion: reduce)").matches) {
    if (document.getAnimations().length) fault("it moves");
    for (const each of document.querySelectorAll("main *, header *"))
      if (seen(each) && style(each).transitionDuration !== "0s") fault("it would move", each);
  }
  return [...found];
}
