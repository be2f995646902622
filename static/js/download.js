// Tells the element below a form that its download has begun: the page stays where it is while the file comes.

document.addEventListener("submit", (event) => {
  const { download } = event.target.dataset;
  if (download) document.getElementById(download)?.dispatchEvent(new Event("lockbox:download"));
});
