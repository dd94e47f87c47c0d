// The page: a module that puts the interface in place of what index.html shows first.
try {
  const { default: init } = await import("./page.js");
  await init();
} catch (error) {
  const app = document.getElementById("app");
  const says = document.createElement("p");
  says.className = "before";
  says.setAttribute("role", "alert");
  says.textContent = `The page could not start: ${error}. Load it again; if that does not help, use a current browser.`;
  app.replaceChildren(says);
}
