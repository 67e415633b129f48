// Offers the other versions of the site: those that versions.json, beside the folders of all versions, lists.
addEventListener("DOMContentLoaded", async () => {
  const root = new URL(`${document.documentElement.dataset.content_root}../`, location.href);
  const choice = document.querySelector(".sidebar-versions select");
  const versions = await fetch(new URL("versions.json", root)).then((found) => found.json(), () => []);
  if (!choice || versions.length < 2) return; // opened as a file, or there is no other
  for (const { version } of versions) choice.add(new Option(version, version, false, version === choice.dataset.version));
  choice.onchange = () => location.assign(new URL(`${choice.value}/index.html`, root));
  choice.hidden = false;
});
