const field = document.getElementById("filter");
const buttons = [...document.querySelectorAll("button[data-word]")];
const rows = [...document.querySelectorAll(".grid tbody tr")].map((row) => ({ row, cells: [...row.querySelectorAll("td")] }));

function apply() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { row, cells } of rows) {
    const matching = cells.filter((cell) => {
      const match = words.every((word) => cell.dataset.text.includes(word));
      cell.classList.toggle("dim", !match);
      return match;
    });
    row.hidden = matching.length === 0;
    shown += matching.length;
  }
  buttons.forEach((button) => button.setAttribute("aria-pressed", words.includes(button.dataset.word)));
  document.getElementById("shown").textContent = words.length ? `matching: ${shown}` : "";
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = words.filter((word) => word !== button.dataset.word);
    field.value = (kept.length < words.length ? kept : [...words, button.dataset.word]).join(" ");
    apply();
  });
}
field.addEventListener("input", apply);
