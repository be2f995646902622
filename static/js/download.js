// Shows below a form that its download has begun: the page does not change while the file is downloaded.

document.addEventListener("submit", (event) => {
  const { download } = event.target.dataset;
  if (download) document.getElementById(download)?.dispatchEvent(new Event("lockbox:download"));
});
