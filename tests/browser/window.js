// What the tests ask the page's application; it changes nothing by itself.
try {
  localStorage.setItem('jupyter-orchestra:test', 'yes'); // by which the page lets its model be looked at
} catch {
  // a frame without storage
}
const promptOf = model => {
  const running = model.executionState === 'running';
  return model.type === 'code' ? `[${running ? '*' : (model.executionCount ?? ' ')}]:` : '';
};
window.orchestraTest = {
  panels() {
    return [...window.jupyterapp.shell.widgets('main')].filter(widget => widget.context && widget.content?.widgets);
  },
  panel(path) {
    return this.panels().find(panel => panel.context.path.replace(/^RTC:/, '') === path);
  },
  ready(path) {
    const panel = window.jupyterapp?.shell && this.panel(path);
    return Boolean(
      panel?.context.isReady && panel.content.widgets.length > 0 && panel.sessionContext.session?.kernel
    );
  },
  idle(path) {
    return this.ready(path) && this.panel(path).sessionContext.kernelDisplayStatus === 'idle';
  },
  // Whether the kernel answers us: comms and, where there are subshells, the one for conversation cells.
  attached(path) {
    const notebook = window.jupyterOrchestra?.model.notebooks.find(one => one.path === path);
    if (notebook?.standing !== 'ready') {
      return false;
    }
    const kernel = this.panel(path).sessionContext.session?.kernel?.id;
    const kept = JSON.parse(localStorage.getItem('jupyter-orchestra:subshells') ?? '{}')[kernel];
    return notebook.subshells === false || Boolean(kept?.cells);
  },
  // Result cells may come between the asking for a cell and the click on it: its node is found by its id.
  label(path) {
    const { id, content } = this.panel(path);
    content.widgets.forEach(cell => (cell.node.dataset.cellId = cell.model.id));
    return id;
  },
  cells(path) {
    return this.panel(path).content.widgets.map(cell => {
      const outputs = cell.model.type === 'code' ? cell.model.outputs.toJSON() : [];
      return {
        id: cell.model.id,
        kind: cell.model.type,
        source: cell.model.sharedModel.getSource(),
        metadata: cell.model.sharedModel.getMetadata(),
        prompt: cell.node.querySelector('.jp-InputPrompt')?.textContent.trim() || promptOf(cell.model),
        shown: (cell.outputArea?.node ?? cell.node.querySelector('.jp-MarkdownOutput'))?.innerText ?? '',
        rendered: cell.model.type === 'markdown' ? cell.rendered : false,
        hidden: cell.inputHidden,
        outputs
      };
    });
  },
  editing(path) {
    const notebook = this.panel(path).content;
    const scroller = notebook.node.querySelector('.jp-WindowedPanel-outer') ?? notebook.node;
    const editor = notebook.activeCell.editor;
    return {
      active: notebook.activeCell.model.id,
      mode: notebook.mode,
      focused: notebook.activeCell.editorWidget.node.contains(document.activeElement),
      cursor: editor ? editor.getOffsetAt(editor.getCursorPosition()) : -1,
      selected: notebook.widgets.filter(cell => notebook.isSelected(cell)).map(cell => cell.model.id),
      top: Math.round(notebook.activeCell.node.getBoundingClientRect().top),
      scrolled: scroller.scrollTop > 0,
      front: window.jupyterapp.shell.currentWidget?.context?.path ?? ''
    };
  }
};
// The longest stretch in which the page could not answer, in milliseconds.
window.orchestraLongest = 0;
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) {
    window.orchestraLongest = Math.max(window.orchestraLongest, entry.duration);
  }
}).observe({ entryTypes: ['longtask'] });
