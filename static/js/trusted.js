// Decides each time whether a script can turn text into HTML (Trusted Types; the content security policy asks here).
// Parsing into a separate document is allowed: no script runs in it, and htmx removes scripts before it shows a part.
// HTML that is written directly into the page, and text that becomes a script or a script's address, are refused.

const PARSERS = ["DOMParser parseFromString", "Document parseHTMLUnsafe"];

if (window.trustedTypes) {
  trustedTypes.createPolicy("default", {
    createHTML: (text, type, sink) => (PARSERS.includes(sink) ? text : null),
  });
}
