// Runs before the first paint, so that the chosen theme never flashes.
(() => {
  const root = document.documentElement;
  const stored = () => {
    try {
      return localStorage.getItem("tidemill-theme") ?? "auto";
    } catch {
      return "auto"; // storage can be forbidden; the system's theme serves
    }
  };
  const show = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  show(stored());

  document.addEventListener("DOMContentLoaded", () => {
    const now = stored();
    for (const input of document.querySelectorAll("input[name=theme]")) {
      input.checked = input.value === now;
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.name !== "theme") return;
    show(event.target.value);
    try {
      localStorage.setItem("tidemill-theme", event.target.value);
    } catch {
      // It holds for this page only.
    }
  });
})();
