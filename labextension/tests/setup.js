// The document library reads its own types before they stand in a document, and warns of it at every cell.
const { warn } = console;
console.warn = (...words) => {
  if (!String(words[0]).includes('Add Yjs type to a document before reading data')) {
    warn(...words);
  }
};

// jsdom has no drag and drop, which the widget library asks for as it loads.
globalThis.DragEvent ??= class DragEvent extends Event {};
