// The one way by which text becomes markup on these pages. The content policy asks here before each (Trusted Types).
// Parsing into a document of its own is let through: no script runs in it, and htmx drops them before it shows a part.
// Markup written straight into the page, and text that becomes a script or a script's address, are refused.

const PARSERS = ["DOMParser parseFromString", "Document parseHTMLUnsafe"];

if (window.trustedTypes) {
  trustedTypes.createPolicy("default", {
    createHTML: (text, type, sink) => (PARSERS.includes(sink) ? text : null),
  });
}
