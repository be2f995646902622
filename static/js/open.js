// Opens a link in one new tab, also with a double click. Two tabs would start the way into an application twice, and each
// would make the code of the other invalid. The customer would read in the log that a code was refused.

document.addEventListener("click", (event) => {
  if (event.detail > 1 && event.target.closest('a[target="_blank"]')) event.preventDefault();
});
