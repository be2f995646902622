// Proposes the browser's time zone in a field that is still empty. Without this script, the server takes UTC.
for (const field of document.querySelectorAll("[data-own-zone]")) {
  field.value ||= Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
}
