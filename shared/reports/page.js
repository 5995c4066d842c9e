// The page holds no token. Whoever shows it in a frame sends its commands, with the caller's own
// token, and answers {waymark: "answer", id, ok, message}; opened by itself it has no buttons.
const commands = document.querySelector(".commands");
if (commands && parent !== window) {
  const status = commands.querySelector("[role=status]");
  const waiting = new Map();
  commands.hidden = false;
  commands.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    const values = Object.fromEntries(new FormData(form));
    const { of, reason, ...rest } = values;
    const path = form.dataset.path.replace("{}", of);
    const id = crypto.randomUUID ? crypto.randomUUID() : String(Math.random());
    waiting.set(id, form);
    status.textContent = "Sent …";
    // To any origin: a page in a sandbox cannot know who shows it, and who does has its words already.
    parent.postMessage({ waymark: "command", id, method: "POST", path, body: { ...rest, reason } }, "*");
  });
  addEventListener("message", (event) => {
    const answer = event.data;
    if (event.source !== parent || !answer || answer.waymark !== "answer") return;
    const form = waiting.get(answer.id);
    if (!form) return;
    waiting.delete(answer.id);
    status.textContent = answer.ok ? "Done." : `Refused: ${answer.message}`;
    if (answer.ok) form.reset();
  });
}
