// What an accessibility checker would complain of, as a list of sentences; run inside the page.
() => {
  const complaints = [];
  const say = (node, what) => {
    const name = `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ""}.${node.getAttribute("class") ?? ""}`;
    complaints.push(`${what}: <${name}> ${(node.textContent ?? "").trim().slice(0, 60)}`);
  };
  const visible = (node) =>
    node.checkVisibility({ opacityProperty: false, visibilityProperty: true });
  const unseen = (node) => node.closest(".unseen") !== null;

  // --- Colours: WCAG 2.2, relative luminance and contrast ---
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [
    r * a + R * (1 - a),
    g * a + G * (1 - a),
    b * a + B * (1 - a),
    1,
  ];
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none") return null; // a pattern; nothing is written on one
      layers.push(rgba(style.backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const luminance = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map((v) =>
      v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const contrast = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };

  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (words.nextNode()) {
    const node = words.currentNode.parentElement;
    if (
      !words.currentNode.data.trim() ||
      !visible(node) ||
      unseen(node) ||
      node.closest("title, option")
    )
      continue;
    texts += 1;
    const style = getComputedStyle(node);
    const below = ground(node);
    if (!below) continue;
    const ink = over(rgba(node.closest("svg") ? style.fill : style.color), below);
    const size = parseFloat(style.fontSize);
    const big = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = contrast(ink, below);
    if (ratio < (big ? 3 : 4.5)) say(node, `contrast ${ratio.toFixed(2)}`);
    if (size < 11) say(node, `text of ${size} px`);
  }
  if (texts < 10) complaints.push(`only ${texts} texts were looked at`);

  // --- Structure ---
  if (document.documentElement.lang === "") complaints.push("no language");
  if (document.querySelectorAll("h1").length !== 1) complaints.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) complaints.push("not one main");
  let before = 1;
  for (const heading of [...document.querySelectorAll("h1, h2, h3, h4")].filter(visible)) {
    const level = Number(heading.tagName[1]);
    if (level > before + 1) say(heading, `heading level jumps from ${before}`);
    before = level;
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  ids.filter((id, at) => ids.indexOf(id) !== at).forEach((id) => complaints.push(`id ${id} twice`));
  for (const node of document.querySelectorAll(
    "[aria-labelledby], [aria-controls], [aria-describedby]",
  )) {
    for (const name of ["aria-labelledby", "aria-controls", "aria-describedby"]) {
      const id = node.getAttribute(name);
      if (id && !document.getElementById(id)) say(node, `${name} names nothing (${id})`);
    }
  }
  for (const image of document.querySelectorAll("img:not([alt])")) say(image, "image without alt");
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption && !table.hasAttribute("aria-label")) say(table, "table without a name");
    if (!table.querySelector("th[scope=col]")) say(table, "table without column headers");
  }

  // --- Controls: 24 px or more (WCAG 2.2, 2.5.8), except links within text ---
  for (const node of document.querySelectorAll(
    "button, input, select, summary, a.tile, nav a, .button, [data-cell]",
  )) {
    if (!visible(node) || unseen(node)) continue;
    const box = node.getBoundingClientRect();
    const tall = Math.max(box.height, node.closest("label")?.getBoundingClientRect().height ?? 0);
    if (tall < 21 || box.width < 24)
      say(node, `target of ${box.width.toFixed(0)} x ${tall.toFixed(0)} px`);
  }

  // --- Charts: no label lies on another one, nor on a point ---
  const apart = (a, b) =>
    a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 2 || b.bottom <= a.top + 2;
  for (const picture of document.querySelectorAll(".chart > svg")) {
    const labels = [...picture.querySelectorAll("text")].filter((node) => node.textContent);
    const points = [...picture.querySelectorAll(".measured circle, .point")];
    labels.forEach((label, at) => {
      const box = label.getBoundingClientRect();
      const other = [...labels.slice(at + 1), ...points].find(
        (node) => !apart(box, node.getBoundingClientRect()),
      );
      if (other) say(label, `lies on ${other.textContent || other.getAttribute("class")}`);
      const frame = picture.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1) say(label, "is cut off");
    });
  }

  // --- Nothing inline: the policy would have blocked it ---
  for (const node of document.querySelectorAll("script:not([src]), style")) say(node, "inline");

  return complaints;
};
