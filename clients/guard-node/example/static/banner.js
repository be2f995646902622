// Shows the time left. When the window has ended, the next request leads back to support. Without this script the banner
// works too: it then shows the time of the last page. A form that was sent brings a page of its own: "I am done" ends the
// window, and must not lead elsewhere.
let sent = false;
addEventListener("submit", () => { sent = true; });
const show = async () => {
  const status = await fetch("/.lockbox/status").then((answer) => answer.json(), () => null);
  if (status && !status.open && !sent) location.assign("/");
  const left = document.getElementById("time-left");
  if (status && left) left.textContent = `${Math.round(status.seconds_left / 60)} minutes left.`;
};
setInterval(show, 5000);
